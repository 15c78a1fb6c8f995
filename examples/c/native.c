/* Gives the guest a command that runs natively, `count [FILE]`, and tells which files a shell line has changed:
 *
 *   cc native.c -I ../../crates/ffi/include -L ../../target/release -ltuxlet_c -lm -lpthread -ldl -o native
 *   ./native ROOTFS 'ls / | count'
 */
#include <stdio.h>
#include <string.h>
#include <tuxlet.h>

static int say(tux_call *call, int fd, const char *text) {
  return tux_call_write(call, fd, (const uint8_t *)text, strlen(text), NULL);
}

static void add(const uint8_t *bytes, size_t len, size_t *lines, size_t *all) {
  size_t i;
  for (i = 0; i < len; i++) *lines += bytes[i] == '\n';
  *all += len;
}

/* Runs on the thread of the guest process that it is. */
static int count(tux_call *call, void *user) {
  tux_error error;
  size_t lines = 0, all = 0, len;
  uint8_t buffer[4096], *contents;
  char text[300];
  int64_t n;
  (void)user;
  if (tux_call_argc(call) > 1) {
    if (tux_call_read_file(call, tux_call_arg(call, 1), &contents, &len, &error) != TUX_OK) {
      say(call, 2, error.message);
      say(call, 2, "\n");
      return 1;
    }
    add(contents, len, &lines, &all);
    tux_bytes_free(contents, len);
  } else {
    while ((n = tux_call_read(call, 0, buffer, sizeof buffer, &error)) > 0) add(buffer, (size_t)n, &lines, &all);
    /* TUX_ENDED: somebody has killed the process. */
    if (n < 0) return 1;
  }
  snprintf(text, sizeof text, "%u lines, %u bytes, counted in %s\n", (unsigned)lines, (unsigned)all, tux_call_cwd(call));
  return say(call, 1, text) == TUX_OK ? 0 : 1;
}

static int fail(const char *what, const tux_error *error) {
  fprintf(stderr, "%s: %s (%d)\n", what, error->message, error->linux_errno);
  return 125;
}

int main(int argc, char **argv) {
  tux_error error;
  tux_builder *builder = tux_builder_new();
  tux_machine *machine = NULL;
  tux_changes *changes = NULL;
  tux_change *change = NULL;
  tux_command *command;
  tux_process *process = NULL;
  tux_status status;
  uint8_t buffer[4096];
  int64_t n;

  if (argc != 3) {
    fprintf(stderr, "usage: %s ROOTFS LINE\n", argv[0]);
    tux_builder_free(builder);
    return 125;
  }
  if (tux_builder_root_dir(builder, argv[1], &error) != TUX_OK) return fail(argv[1], &error);
  if (tux_builder_native(builder, "/usr/bin/count", count, NULL, NULL, &error) != TUX_OK) return fail("count", &error);
  if (tux_builder_build(builder, &machine, &error) != TUX_OK) return fail(argv[1], &error);
  if (tux_track_changes(machine, 1000, &changes, &error) != TUX_OK) return fail("tracking", &error);

  command = tux_command_new("/bin/sh");
  tux_command_arg(command, "-c", NULL);
  if (tux_command_arg(command, argv[2], &error) != TUX_OK) return fail(argv[2], &error);
  tux_command_stdio(command, TUX_STDOUT, TUX_PIPE, NULL);
  tux_command_stdio(command, TUX_STDERR, TUX_MERGE, NULL);
  if (tux_exec(machine, command, &process, &error) != TUX_OK) return fail("/bin/sh", &error);
  while ((n = tux_process_read(process, TUX_STDOUT, buffer, sizeof buffer, TUX_FOREVER, &error)) > 0) {
    fwrite(buffer, 1, (size_t)n, stdout);
  }
  if (n < 0) return fail("reading", &error);
  if (tux_process_wait(process, TUX_FOREVER, &status, &error) != TUX_OK) return fail("waiting", &error);
  while (tux_changes_next(changes, 0, &change, &error) == TUX_OK) {
    if (change->kind == TUX_WRITTEN) printf("written %s\n", change->path);
    tux_change_free(change);
  }
  tux_changes_free(changes);
  tux_process_free(process);
  tux_machine_free(machine);
  return status.code;
}
