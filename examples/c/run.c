/* Runs a command in a machine on a directory of the host and prints what it prints:
 *
 *   cc run.c -I ../../crates/ffi/include -L ../../target/release -ltuxlet_c -lm -lpthread -ldl -o run
 *   ./run ROOTFS COMMAND [ARG]...
 */
#include <stdio.h>
#include <tuxlet.h>

static int fail(const char *what, const tux_error *error) {
  fprintf(stderr, "%s: %s (%d)\n", what, error->message, error->linux_errno);
  return 125;
}

int main(int argc, char **argv) {
  tux_error error;
  tux_builder *builder = tux_builder_new();
  tux_machine *machine = NULL;
  tux_command *command;
  tux_process *process = NULL;
  tux_status status;
  uint8_t buffer[4096];
  int64_t n;
  int i;

  if (argc < 3) {
    fprintf(stderr, "usage: %s ROOTFS COMMAND [ARG]...\n", argv[0]);
    tux_builder_free(builder);
    return 125;
  }
  if (tux_builder_root_dir(builder, argv[1], &error) != TUX_OK) {
    tux_builder_free(builder);
    return fail(argv[1], &error);
  }
  if (tux_builder_build(builder, &machine, &error) != TUX_OK) return fail(argv[1], &error);

  command = tux_command_new(argv[2]);
  for (i = 3; i < argc; i++) {
    if (tux_command_arg(command, argv[i], &error) != TUX_OK) return fail(argv[i], &error);
  }
  tux_command_stdio(command, TUX_STDOUT, TUX_PIPE, NULL);
  tux_command_stdio(command, TUX_STDERR, TUX_MERGE, NULL);
  if (tux_exec(machine, command, &process, &error) != TUX_OK) {
    tux_machine_free(machine);
    return fail(argv[2], &error);
  }
  while ((n = tux_process_read(process, TUX_STDOUT, buffer, sizeof buffer, TUX_FOREVER, &error)) > 0) {
    fwrite(buffer, 1, (size_t)n, stdout);
  }
  if (n < 0) return fail("reading", &error);
  if (tux_process_wait(process, TUX_FOREVER, &status, &error) != TUX_OK) return fail("waiting", &error);
  tux_process_free(process);
  tux_machine_free(machine);
  return status.code;
}
