/*
 * Tuxlet: Linux as a library. The C interface.
 *
 * Conventions
 *   - Handles (tux_*) are opaque. Each is freed by the function of its kind; freeing NULL does nothing.
 *   - Functions that can fail return 0, or a tux_code below 0 and, if `error` is not NULL, what is wrong in words.
 *   - Texts are UTF-8 and end with a zero byte; they are copied, so they need not outlive the call.
 *   - A machine and a process may be used by several threads at once. A builder and a command belong to one thread at a time.
 *   - No function calls exit or abort, and no Rust panic leaves the library: it becomes TUX_PANIC.
 */
#ifndef TUXLET_H
#define TUXLET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tux_builder tux_builder;
typedef struct tux_machine tux_machine;
typedef struct tux_command tux_command;
typedef struct tux_process tux_process;

/* Results. */
enum tux_code {
  TUX_OK = 0,
  TUX_INVALID = -1, /* an argument is NULL where it must not be, or no UTF-8, or out of range */
  TUX_FAILED = -2,  /* the machine or the host refused; error.linux_errno has the guest's error number, if there is one */
  TUX_TIMEOUT = -3, /* the time was over first */
  TUX_CLOSED = -4,  /* the stream was not asked for, or has been closed */
  TUX_PANIC = -5    /* a bug in the library */
};

/* What went wrong. */
typedef struct tux_error {
  int32_t code;        /* an enum tux_code */
  int32_t linux_errno; /* Linux' number on arm64, 0 if there is none */
  char message[256];   /* cut off if it is longer; always ends with a zero byte */
} tux_error;

/* How a process ended. */
typedef struct tux_status {
  int32_t code;   /* exit code; 128 + number for a signal */
  int32_t signal; /* the signal that killed it, or 0 */
} tux_status;

/* Streams of a process. */
enum tux_stream {
  TUX_STDIN = 0,
  TUX_STDOUT = 1,
  TUX_STDERR = 2
};

/* Where a stream of a process leads. */
enum tux_stdio {
  TUX_NULL = 0,  /* the guest's /dev/null */
  TUX_PIPE = 1,  /* a pipe: tux_process_read, tux_process_write */
  TUX_MERGE = 2  /* standard error only: where standard output leads */
};

/* Waits without limit. */
#define TUX_FOREVER UINT64_MAX

/* The library's version, such as "0.1.0". */
const char *tux_version(void);

/* Machines. The builder is used up by tux_builder_build, whether that succeeds or not. */
tux_builder *tux_builder_new(void);
void tux_builder_free(tux_builder *builder);
/* The root: an empty file system in memory, a directory of the host, or a store that `tuxlet` has made. */
int tux_builder_root_memory(tux_builder *builder, tux_error *error);
int tux_builder_root_dir(tux_builder *builder, const char *dir, tux_error *error);
int tux_builder_root_store(tux_builder *builder, const char *dir, tux_error *error);
/* Shows a directory or file of the host in the machine. */
int tux_builder_bind(tux_builder *builder, const char *host, const char *guest, int read_only, tux_error *error);
int tux_builder_hostname(tux_builder *builder, const char *name, tux_error *error);
/* The memory of all processes together, in bytes. */
int tux_builder_memory(tux_builder *builder, uint64_t bytes, tux_error *error);
int tux_builder_build(tux_builder *builder, tux_machine **machine, tux_error *error);
/* Kills what runs, writes everything back, and frees. Processes that are still there keep the machine alive. */
void tux_machine_free(tux_machine *machine);
/* Makes everything that was written durable. */
int tux_machine_sync(tux_machine *machine, tux_error *error);
/*
 * For an app that goes to the background: holds all threads of the machine still (TUX_FAILED if one does not come to rest in time),
 * makes everything durable and releases the stores' locks; and the way back. A machine may be freed while it is suspended.
 */
int tux_machine_suspend(tux_machine *machine, uint64_t timeout_ms, tux_error *error);
int tux_machine_resume(tux_machine *machine, tux_error *error);
int tux_machine_kill(tux_machine *machine, uint32_t pid, int signal, tux_error *error);

/* Files of the machine, as its superuser. The bytes of tux_read_file are freed with tux_bytes_free. */
int tux_read_file(tux_machine *machine, const char *path, uint8_t **bytes, size_t *len, tux_error *error);
int tux_write_file(tux_machine *machine, const char *path, uint32_t mode, const uint8_t *bytes, size_t len,
                   tux_error *error);
void tux_bytes_free(uint8_t *bytes, size_t len);

/* Commands. */
tux_command *tux_command_new(const char *program);
void tux_command_free(tux_command *command);
int tux_command_arg(tux_command *command, const char *arg, tux_error *error);
int tux_command_env(tux_command *command, const char *name, const char *value, tux_error *error);
int tux_command_cwd(tux_command *command, const char *dir, tux_error *error);
int tux_command_user(tux_command *command, const char *user, tux_error *error);
/* `stream` is an enum tux_stream, `stdio` an enum tux_stdio. */
int tux_command_stdio(tux_command *command, int stream, int stdio, tux_error *error);
/* A terminal for all three streams: TUX_STDOUT then reads what it shows, tux_process_write types. */
int tux_command_terminal(tux_command *command, uint16_t rows, uint16_t cols, tux_error *error);

/* Starts a program. The command is used up, whether that succeeds or not. */
int tux_exec(tux_machine *machine, tux_command *command, tux_process **process, tux_error *error);

/* Processes. Freeing one leaves the program running. */
void tux_process_free(tux_process *process);
uint32_t tux_process_pid(const tux_process *process);
/* Waits for the end; TUX_TIMEOUT if it has not come after so many milliseconds. */
int tux_process_wait(tux_process *process, uint64_t timeout_ms, tux_status *status, tux_error *error);
int tux_process_kill(tux_process *process, int signal, tux_error *error);
/*
 * Reads what a program prints: the number of bytes, at least 1; 0 at the end; TUX_TIMEOUT if there was nothing for so many
 * milliseconds (terminals wait without limit).
 */
int64_t tux_process_read(tux_process *process, int stream, uint8_t *buffer, size_t len, uint64_t timeout_ms,
                         tux_error *error);
/* Writes all of it, waiting until the program has made room. TUX_CLOSED if it never will. */
int tux_process_write(tux_process *process, const uint8_t *bytes, size_t len, tux_error *error);
/* Ends the standard input. */
int tux_process_close_stdin(tux_process *process, tux_error *error);
/* Lets reading end after what has been printed so far, even if a program in the background has the stream open. */
int tux_process_finish(tux_process *process, tux_error *error);
int tux_process_resize(tux_process *process, uint16_t rows, uint16_t cols, tux_error *error);

#ifdef __cplusplus
}
#endif

#endif
