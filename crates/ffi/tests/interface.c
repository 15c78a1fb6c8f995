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
  CHECK(tux_process_close_stdin(process, &error) == TUX_OK);
  CHECK(tux_process_close_stdin(process, &error) == TUX_CLOSED);
  CHECK(tux_process_write(process, program, 1, &error) == TUX_CLOSED);
  CHECK(tux_process_wait(process, TUX_FOREVER, NULL, &error) == TUX_OK);
  tux_process_free(process);

  /* Signals; what stays behind. */
  CHECK(tux_exec(machine, shell("hang"), &process, &error) == TUX_OK);
  CHECK(tux_process_pid(process) > 1 && tux_process_pid(NULL) == 0);
  CHECK(tux_process_resize(process, 1, 1, &error) == TUX_CLOSED);
  CHECK(tux_machine_kill(machine, tux_process_pid(process), 0, &error) == TUX_OK);
  CHECK(tux_process_kill(process, 15, &error) == TUX_OK);
  CHECK(tux_process_wait(process, TUX_FOREVER, &status, &error) == TUX_OK);
  CHECK(status.code == 143 && status.signal == 15);
  CHECK(tux_process_kill(process, 15, &error) == TUX_FAILED && error.linux_errno == 3);
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
  tux_process_free(NULL);
  tux_machine_free(machine);
  puts("ok");
  return 0;
}
