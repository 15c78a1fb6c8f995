/* Exercises every function of the interface; the argument is a program that stands for /bin/sh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tuxlet.h>

#define CHECK(what)                                                            \
  do {                                                                         \
    if (!(what)) {                                                             \
      fprintf(stderr, "line %d: %s; %s\n", __LINE__, #what, error.message);    \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

static tux_error error;

static tux_command *shell(const char *line) {
  tux_command *command = tux_command_new("/bin/sh");
  CHECK(command != NULL);
  CHECK(tux_command_arg(command, "-c", &error) == TUX_OK);
  CHECK(tux_command_arg(command, line, &error) == TUX_OK);
  return command;
}

static void read_all(tux_process *process, int stream, char *text, size_t room) {
  size_t len = 0;
  int64_t n;
  while ((n = tux_process_read(process, stream, (uint8_t *)text + len, room - len - 1, TUX_FOREVER, &error)) > 0) {
    len += (size_t)n;
  }
  CHECK(n == 0);
  text[len] = 0;
}

/* What the functions below were told; each part is written by one thread before it is read by another one that waited for it. */
static int guarded, dropped, told;
static uint64_t pressure_used, pressure_limit;

static void count_drop(void *user) { ++*(int *)user; }

static int guard(const tux_fork *fork, void *user) {
  ++*(int *)user;
  if (strcmp(fork->name, "sh") != 0 || fork->uid != 0 || fork->parent == 0 || fork->tasks == 0) return 38;
  return fork->context == 1 ? 11 : fork->context == 2 ? -1 : 0;
}

static int hook(uint64_t context, char *target, size_t room, void *user) {
  (void)user;
  if (context == 0) return 1;
  snprintf(target, room, "/srv/%d", (int)context);
  return 0;
}

static void pressure(uint64_t used, uint64_t limit, void *user) {
  tux_machine *machine = *(tux_machine **)user;
  pressure_used = used;
  pressure_limit = limit;
  tux_write_file(machine, "/told", 0644, NULL, 0, NULL);
}

/* Copies what it reads in capitals to its output; tells about itself; copies a file. */
static int native(tux_call *call, void *user) {
  tux_error error;
  uint8_t chunk[7], *bytes;
  char text[200];
  int64_t n, i;
  size_t len;
  if (user != &told || tux_call_argc(call) != 2 || tux_call_arg(call, 2) != NULL || tux_call_arg(call, -1) != NULL) return 1;
  if (tux_call_check(call, &error) != TUX_OK) return 2;
  snprintf(text, sizeof text, "%s %s %s %d %d\n", tux_call_arg(call, 1), tux_call_env(call, "X"), tux_call_cwd(call),
           tux_call_env(call, "ABSENT") == NULL, tux_call_pid(call) > 1);
  if (tux_call_write(call, 2, (const uint8_t *)text, strlen(text), &error) != TUX_OK) return 3;
  while ((n = tux_call_read(call, 0, chunk, sizeof chunk, &error)) > 0) {
    for (i = 0; i < n; i++) {
      if (chunk[i] >= 'a' && chunk[i] <= 'z') chunk[i] -= 32;
    }
    if (tux_call_write(call, 1, chunk, (size_t)n, &error) != TUX_OK) return 4;
  }
  if (n == TUX_ENDED) told = 1;
  if (n != 0) return 5;
  if (tux_call_write(call, 9, chunk, 1, &error) != TUX_FAILED || error.linux_errno != 9) return 6;
  if (tux_call_read_file(call, "absent", &bytes, &len, &error) != TUX_FAILED || error.linux_errno != 2) return 7;
  if (tux_call_read_file(call, "from", &bytes, &len, &error) != TUX_OK) return 8;
  if (tux_call_write_file(call, "to", 0600, bytes, len, &error) != TUX_OK) return 9;
  tux_bytes_free(bytes, len);
  return 256 + 42;
}

static void read_all(tux_process *process, int stream, char *text, size_t room);

static void expect(tux_machine *machine, const char *line, uint64_t context, const char *expected) {
  tux_process *process;
  char text[1000];
  tux_command *command = shell(line);
  CHECK(tux_command_context(command, context, &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDOUT, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_exec(machine, command, &process, &error) == TUX_OK);
  read_all(process, TUX_STDOUT, text, sizeof text);
  CHECK(tux_process_wait(process, TUX_FOREVER, NULL, &error) == TUX_OK);
  tux_process_free(process);
  if (strcmp(text, expected) != 0) {
    fprintf(stderr, "%s: %s\n", line, text);
    exit(1);
  }
}

static void next_change(tux_changes *changes, int kind, uint64_t context, const char *path, const char *to) {
  tux_change *change = NULL;
  CHECK(tux_changes_next(changes, TUX_FOREVER, &change, &error) == TUX_OK);
  CHECK(change->kind == kind && change->context == context && change->directory == 0);
  CHECK((context != 0) == (change->pid != 0));
  CHECK(strcmp(change->path, path) == 0);
  CHECK(to == NULL ? change->to == NULL : strcmp(change->to, to) == 0);
  tux_change_free(change);
}

/* The tree of files, seen and changed from outside. */
static void tree(tux_machine *machine) {
  tux_metadata metadata;
  tux_directory *directory;
  tux_entry entry;
  uint8_t *bytes;
  size_t len;
  CHECK(tux_create_directory(machine, "/tree/a/b", &error) == TUX_OK);
  CHECK(tux_write_file(machine, "/tree/f", 0640, (const uint8_t *)"hello", 5, &error) == TUX_OK);
  CHECK(tux_create_directory(machine, "/tree/f", &error) == TUX_FAILED && error.linux_errno == 20);
  CHECK(tux_symlink(machine, "f", "/tree/l", &error) == TUX_OK);
  CHECK(tux_read_link(machine, "/tree/l", &bytes, &len, &error) == TUX_OK && len == 1 && bytes[0] == 'f');
  tux_bytes_free(bytes, len);
  CHECK(tux_read_range(machine, "/tree/l", 3, 9, &bytes, &len, &error) == TUX_OK && len == 2);
  CHECK(memcmp(bytes, "lo", 2) == 0);
  tux_bytes_free(bytes, len);
  CHECK(tux_set_mode(machine, "/tree/l", 04600, &error) == TUX_OK);
  CHECK(tux_file_metadata(machine, "/tree/l", 1, &metadata, &error) == TUX_OK);
  CHECK(metadata.kind == TUX_FILE && metadata.mode == 04600 && metadata.size == 5 && metadata.links == 1);
  CHECK(metadata.uid == 0 && metadata.gid == 0 && metadata.modified_sec > 1000000000 && metadata.inode != 0);
  CHECK(tux_file_metadata(machine, "/tree/l", 0, &metadata, &error) == TUX_OK && metadata.kind == TUX_SYMLINK);
  CHECK(tux_file_metadata(machine, "/tree", 1, NULL, &error) == TUX_INVALID);
  CHECK(tux_rename(machine, "/tree/f", "/tree/a/b/f", &error) == TUX_OK);
  CHECK(tux_file_metadata(machine, "/tree/l", 1, &metadata, &error) == TUX_FAILED && error.linux_errno == 2);
  CHECK(tux_remove(machine, "/tree/l", &error) == TUX_OK);
  CHECK(tux_remove(machine, "/tree/a", &error) == TUX_FAILED && error.linux_errno == 39);
  CHECK(tux_open_directory(machine, "/none", &directory, &error) == TUX_FAILED && directory == NULL);
  CHECK(tux_open_directory(machine, "/tree", &directory, &error) == TUX_OK);
  CHECK(tux_directory_next(directory, &entry, &error) == TUX_OK);
  CHECK(entry.kind == TUX_DIRECTORY && strcmp(entry.name, "a") == 0 && entry.inode != 0);
  CHECK(tux_directory_next(directory, &entry, &error) == TUX_CLOSED);
  tux_directory_free(directory);
}

/* What machines tell and ask; commands of ours. */
static void hooks(const uint8_t *program, size_t len) {
  static tux_machine *machine;
  static uint8_t large[40 << 20];
  tux_builder *builder = tux_builder_new();
  tux_changes *changes = NULL;
  tux_change *change;
  tux_command *command;
  tux_process *process;
  tux_status status;
  tux_stats stats;
  char text[1000];
  uint8_t *bytes;

  CHECK(tux_builder_root_memory(builder, &error) == TUX_OK);
  CHECK(tux_builder_memory(builder, 64 << 20, &error) == TUX_OK);
  CHECK(tux_builder_env(builder, "=", "x", &error) == TUX_INVALID);
  CHECK(tux_builder_env(builder, "X", "of all", &error) == TUX_OK);
  CHECK(tux_builder_fork_guard(builder, NULL, &dropped, count_drop, &error) == TUX_INVALID && dropped == 1);
  CHECK(tux_builder_fork_guard(builder, guard, &guarded, NULL, &error) == TUX_OK);
  CHECK(tux_builder_path_hook(builder, "/workspace", hook, &dropped, count_drop, &error) == TUX_OK);
  CHECK(tux_builder_memory_pressure(builder, 50, pressure, &machine, NULL, &error) == TUX_OK);
  CHECK(tux_builder_native(builder, NULL, native, &dropped, count_drop, &error) == TUX_INVALID && dropped == 2);
  CHECK(tux_builder_native(builder, "/usr/bin/native", native, &told, NULL, &error) == TUX_OK);
  CHECK(tux_builder_build(builder, &machine, &error) == TUX_OK);
  CHECK(tux_write_file(machine, "/bin/sh", 0755, program, len, &error) == TUX_OK);
  CHECK(tux_write_file(machine, "/srv/1/from", 0644, (const uint8_t *)"copy", 4, &error) == TUX_OK);

  /* The record of changes. */
  CHECK(tux_track_changes(machine, 4, &changes, &error) == TUX_OK);
  CHECK(tux_changes_next(changes, 0, &change, &error) == TUX_TIMEOUT && change == NULL);
  expect(machine, "write /srv/a x;mv /srv/a /srv/b;env X", 7, "of all\n");
  CHECK(tux_write_file(machine, "/srv/c", 0644, NULL, 0, &error) == TUX_OK);
  CHECK(tux_changes_dropped(changes) == 1 && tux_changes_dropped(changes) == 0);
  next_change(changes, TUX_WRITTEN, 7, "/srv/a", NULL);
  next_change(changes, TUX_RENAMED, 7, "/srv/a", "/srv/b");
  next_change(changes, TUX_CREATED, 0, "/srv/c", NULL);
  CHECK(tux_changes_finish(changes, &error) == TUX_OK);
  next_change(changes, TUX_WRITTEN, 0, "/srv/c", NULL);
  CHECK(tux_changes_next(changes, TUX_FOREVER, &change, &error) == TUX_CLOSED && change == NULL);
  tux_changes_free(changes);

  /* Who may make processes, and where paths lead. */
  expect(machine, "fork", 0, "fork: ok\n");
  expect(machine, "fork", 1, "fork: EAGAIN\n");
  expect(machine, "fork", 2, "fork: EPERM\n");
  CHECK(guarded == 3);
  expect(machine, "read /workspace/from", 1, "copy\n");
  expect(machine, "read /workspace/from", 0, "/workspace/from: ENOENT\n");

  /* A command of ours. */
  command = tux_command_new("native");
  CHECK(tux_command_arg(command, "argument", &error) == TUX_OK);
  CHECK(tux_command_cwd(command, "/srv/1", &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDIN, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDOUT, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDERR, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_exec(machine, command, &process, &error) == TUX_OK);
  CHECK(tux_process_write(process, (const uint8_t *)"some text of more than seven bytes\n", 35, &error) == TUX_OK);
  CHECK(tux_process_close(process, TUX_STDIN, &error) == TUX_OK);
  read_all(process, TUX_STDERR, text, sizeof text);
  CHECK(strcmp(text, "argument of all /srv/1 1 1\n") == 0);
  read_all(process, TUX_STDOUT, text, sizeof text);
  CHECK(strcmp(text, "SOME TEXT OF MORE THAN SEVEN BYTES\n") == 0);
  CHECK(tux_process_wait(process, TUX_FOREVER, &status, &error) == TUX_OK && status.code == 42);
  tux_process_free(process);
  CHECK(tux_read_file(machine, "/srv/1/to", &bytes, &len, &error) == TUX_OK && len == 4);
  tux_bytes_free(bytes, len);
  /* Killed while it reads. */
  command = tux_command_new("native");
  CHECK(tux_command_arg(command, "argument", &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDIN, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDERR, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_exec(machine, command, &process, &error) == TUX_OK);
  CHECK(tux_process_read(process, TUX_STDERR, (uint8_t *)text, sizeof text, TUX_FOREVER, &error) > 0);
  CHECK(tux_process_kill(process, 15, &error) == TUX_OK);
  CHECK(tux_process_wait(process, TUX_FOREVER, &status, &error) == TUX_OK && status.signal == 15 && told == 1);
  tux_process_free(process);

  /* Memory. */
  CHECK(tux_track_changes(machine, 100, &changes, &error) == TUX_OK);
  CHECK(tux_write_file(machine, "/large", 0644, large, sizeof large, &error) == TUX_OK);
  do {
    CHECK(tux_changes_next(changes, TUX_FOREVER, &change, &error) == TUX_OK);
    len = strcmp(change->path, "/told");
    tux_change_free(change);
  } while (len != 0);
  tux_changes_free(changes);
  CHECK(pressure_limit == 64 << 20 && pressure_used > 32 << 20 && pressure_used <= pressure_limit);
  CHECK(tux_machine_stats(machine, &stats, &error) == TUX_OK);
  CHECK(stats.memory >= sizeof large && stats.memory_limit == 64 << 20 && stats.processes == 0 && stats.threads == 0);
  CHECK(tux_machine_stats(NULL, &stats, &error) == TUX_INVALID);
  CHECK(tux_machine_trim(machine) < 64 << 20 && tux_machine_trim(NULL) == 0);
  tux_machine_free(machine);
  CHECK(dropped == 3);
}

int main(int argc, char **argv) {
  static uint8_t program[8 << 20];
  tux_builder *builder = tux_builder_new();
  tux_machine *machine = NULL;
  tux_command *command;
  tux_process *process = NULL;
  tux_status status;
  uint8_t *bytes;
  size_t len;
  char text[4096];
  FILE *file;

  if (argc != 3) return 2;
  CHECK(strlen(tux_version()) >= 5);

  CHECK(tux_builder_root_dir(builder, "/none", &error) == TUX_OK);
  CHECK(tux_builder_build(builder, &machine, &error) == TUX_FAILED && machine == NULL);
  CHECK(strstr(error.message, "/none") != NULL && error.code == TUX_FAILED);
  builder = tux_builder_new();
  CHECK(tux_builder_root_store(builder, "/none", &error) == TUX_OK);
  tux_builder_free(builder);
  builder = tux_builder_new();
  CHECK(tux_builder_root_memory(builder, &error) == TUX_OK);
  CHECK(tux_builder_root_memory(NULL, &error) == TUX_INVALID);
  CHECK(tux_builder_hostname(builder, "\xff", &error) == TUX_INVALID);
  CHECK(tux_builder_hostname(builder, NULL, NULL) == TUX_INVALID);
  CHECK(tux_builder_hostname(builder, "box", &error) == TUX_OK);
  CHECK(tux_builder_memory(builder, 256 << 20, &error) == TUX_OK);
  CHECK(tux_builder_bind(builder, argv[2], "/host", 1, &error) == TUX_OK);
  CHECK(tux_builder_build(builder, &machine, &error) == TUX_OK);

  /* Files. */
  file = fopen(argv[1], "rb");
  CHECK(file != NULL);
  len = fread(program, 1, sizeof program, file);
  fclose(file);
  CHECK(len > 0 && len < sizeof program);
  CHECK(tux_write_file(machine, "/bin/sh", 0755, program, len, &error) == TUX_OK);
  CHECK(tux_read_file(machine, "/bin/sh", &bytes, &len, &error) == TUX_OK);
  CHECK(memcmp(bytes, program, len) == 0);
  tux_bytes_free(bytes, len);
  tree(machine);
  hooks(program, len);
  CHECK(tux_write_file(machine, "/empty", 0644, NULL, 0, &error) == TUX_OK);
  CHECK(tux_read_file(machine, "/empty", &bytes, &len, &error) == TUX_OK && len == 0);
  tux_bytes_free(bytes, len);
  CHECK(tux_read_file(machine, "/absent", &bytes, &len, &error) == TUX_FAILED && error.linux_errno == 2);
  CHECK(tux_write_file(machine, "/host/x", 0644, NULL, 0, &error) == TUX_FAILED && error.linux_errno == 30);
  CHECK(tux_machine_sync(machine, &error) == TUX_OK);
  CHECK(tux_machine_suspend(machine, 60000, &error) == TUX_OK);
  CHECK(tux_machine_resume(machine, &error) == TUX_OK);

  /* Streams, environment, directory, user. */
  command = shell("pwd; id; env X; warn y; exit 3");
  CHECK(tux_command_env(command, "X", "x", &error) == TUX_OK);
  CHECK(tux_command_env(command, "A=B", "x", &error) == TUX_INVALID);
  CHECK(tux_command_cwd(command, "/bin", &error) == TUX_OK);
  CHECK(tux_command_user(command, "7:8", &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDOUT, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDERR, TUX_MERGE, &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDIN, TUX_MERGE, &error) == TUX_INVALID);
  CHECK(tux_command_stdio(command, 3, TUX_PIPE, &error) == TUX_INVALID);
  CHECK(tux_exec(machine, command, &process, &error) == TUX_OK);
  read_all(process, TUX_STDOUT, text, sizeof text);
  CHECK(strcmp(text, "/bin\n7 8\nx\ny\n") == 0);
  CHECK(tux_process_wait(process, TUX_FOREVER, &status, &error) == TUX_OK);
  CHECK(status.code == 3 && status.signal == 0);
  CHECK(tux_process_read(process, TUX_STDERR, program, 1, 0, &error) == TUX_CLOSED);
  tux_process_free(process);

  /* Both ways, with time limits. */
  command = shell("lines");
  CHECK(tux_command_stdio(command, TUX_STDIN, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_command_stdio(command, TUX_STDOUT, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_exec(machine, command, &process, &error) == TUX_OK);
  CHECK(tux_process_read(process, TUX_STDOUT, program, 10, 1, &error) == TUX_TIMEOUT);
  CHECK(tux_process_write(process, (const uint8_t *)"hello\n", 6, &error) == TUX_OK);
  CHECK(tux_process_read(process, TUX_STDOUT, program, 10, TUX_FOREVER, &error) == 6);
  CHECK(memcmp(program, "HELLO\n", 6) == 0);
  CHECK(tux_process_wait(process, 1, &status, &error) == TUX_TIMEOUT);
  CHECK(tux_process_close(process, TUX_STDIN, &error) == TUX_OK);
  CHECK(tux_process_close(process, TUX_STDIN, &error) == TUX_CLOSED);
  CHECK(tux_process_write(process, program, 1, &error) == TUX_CLOSED);
  CHECK(tux_process_wait(process, TUX_FOREVER, NULL, &error) == TUX_OK);
  tux_process_free(process);

  /* Who does not want any more of it. */
  command = shell("flood 1000000");
  CHECK(tux_command_stdio(command, TUX_STDOUT, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_exec(machine, command, &process, &error) == TUX_OK);
  CHECK(tux_process_read(process, TUX_STDOUT, program, 10, TUX_FOREVER, &error) == 10);
  CHECK(tux_process_close(process, TUX_STDERR, &error) == TUX_CLOSED);
  CHECK(tux_process_close(process, 3, &error) == TUX_INVALID);
  CHECK(tux_process_close(process, TUX_STDOUT, &error) == TUX_OK);
  CHECK(tux_process_read(process, TUX_STDOUT, program, 10, TUX_FOREVER, &error) == TUX_CLOSED);
  CHECK(tux_process_wait(process, TUX_FOREVER, &status, &error) == TUX_OK && status.code != 0);
  tux_process_free(process);

  /* Signals; what stays behind. */
  CHECK(tux_exec(machine, shell("hang"), &process, &error) == TUX_OK);
  CHECK(tux_process_pid(process) > 1 && tux_process_pid(NULL) == 0);
  CHECK(tux_process_resize(process, 1, 1, &error) == TUX_CLOSED);
  CHECK(tux_machine_kill(machine, tux_process_pid(process), 0, &error) == TUX_OK);
  CHECK(tux_process_kill_group(process, 99, &error) == TUX_FAILED && error.linux_errno == 22);
  CHECK(tux_process_kill_group(process, 15, &error) == TUX_OK);
  CHECK(tux_process_wait(process, TUX_FOREVER, &status, &error) == TUX_OK);
  CHECK(status.code == 143 && status.signal == 15);
  CHECK(tux_process_kill(process, 15, &error) == TUX_FAILED && error.linux_errno == 3);
  CHECK(tux_process_kill_group(process, 15, &error) == TUX_FAILED && error.linux_errno == 3);
  tux_process_free(process);
  command = shell("daemon");
  CHECK(tux_command_stdio(command, TUX_STDOUT, TUX_PIPE, &error) == TUX_OK);
  CHECK(tux_exec(machine, command, &process, &error) == TUX_OK);
  CHECK(tux_process_wait(process, TUX_FOREVER, &status, &error) == TUX_OK && status.code == 0);
  CHECK(tux_process_finish(process, &error) == TUX_OK);
  read_all(process, TUX_STDOUT, text, sizeof text);
  tux_process_free(process);

  /* A terminal. */
  command = shell("wait-byte; size");
  CHECK(tux_command_terminal(command, 30, 100, &error) == TUX_OK);
  CHECK(tux_exec(machine, command, &process, &error) == TUX_OK);
  CHECK(tux_process_resize(process, 31, 101, &error) == TUX_OK);
  CHECK(tux_process_write(process, (const uint8_t *)"\n", 1, &error) == TUX_OK);
  read_all(process, TUX_STDOUT, text, sizeof text);
  CHECK(strcmp(text, "\r\n0 31 101\r\n") == 0);
  CHECK(tux_process_wait(process, TUX_FOREVER, &status, &error) == TUX_OK && status.code == 0);
  tux_process_free(process);

  CHECK(tux_exec(machine, tux_command_new("/none"), &process, &error) == TUX_FAILED);
  CHECK(error.linux_errno == 2 && process == NULL);
  CHECK(tux_command_new(NULL) == NULL);
  tux_command_free(shell("never run"));
  CHECK(tux_exec(machine, shell("hang"), &process, &error) == TUX_OK);
  CHECK(tux_machine_kill_all(machine, &error) == TUX_OK);
  CHECK(tux_process_wait(process, TUX_FOREVER, &status, &error) == TUX_OK && status.signal == 9);
  tux_process_free(process);
  tux_process_free(NULL);
  tux_machine_free(machine);
  puts("ok");
  return 0;
}
