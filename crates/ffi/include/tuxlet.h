/*
 * Tuxlet: Linux as a library. The C interface.
 *
 * Conventions
 *   - Handles (tux_*) are opaque. Each is freed by the function of its kind; freeing NULL does nothing.
 *   - Functions that can fail return 0, or a tux_code below 0 and, if `error` is not NULL, what is wrong in words.
 *   - Texts are UTF-8 and end with a zero byte; they are copied, so they need not outlive the call.
 *   - Every function is marked with how threads may use it:
 *       TUX_ANY_THREAD  by any thread, by several at once, with the same handle too;
 *       TUX_ONE_THREAD  by any thread, but a handle by one at a time, and by none while it is being freed;
 *       TUX_SAME_THREAD by the thread that the library has called with that handle, before it returns.
 *   - Functions of yours get the `user` pointer that was registered with them. Except where it says otherwise they are called by threads of
 *     the library, by several at once. `drop`, which may be NULL, is called once with `user` when the function is not called any more, also
 *     if registering it fails. Neither may throw a C++ exception or leave by longjmp.
 *   - No function calls exit or abort, and no Rust panic leaves the library: it becomes TUX_PANIC.
 */
#ifndef TUXLET_H
#define TUXLET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TUX_ANY_THREAD
#define TUX_ONE_THREAD
#define TUX_SAME_THREAD

typedef struct tux_builder tux_builder;
typedef struct tux_machine tux_machine;
typedef struct tux_command tux_command;
typedef struct tux_process tux_process;
typedef struct tux_changes tux_changes;
typedef struct tux_call tux_call;
typedef struct tux_directory tux_directory;

/* Results. */
enum tux_code {
  TUX_OK = 0,
  TUX_INVALID = -1, /* an argument is NULL where it must not be, or no UTF-8, or out of range */
  TUX_FAILED = -2,  /* the machine or the host refused; error.linux_errno has the guest's error number, if there is one */
  TUX_TIMEOUT = -3, /* the time was over first */
  TUX_CLOSED = -4,  /* the stream was not asked for, or has been closed */
  TUX_PANIC = -5,   /* a bug in the library */
  TUX_ENDED = -6    /* the process of a native command is to end: the command returns then */
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

/* What a machine uses. */
typedef struct tux_stats {
  uint64_t processes;    /* zombies not counted */
  uint64_t threads;      /* of those */
  uint64_t memory;       /* bytes, of processes and file systems in memory */
  uint64_t memory_limit; /* bytes */
} tux_stats;

/* What happened to a file. */
enum tux_change_kind {
  TUX_CREATED = 1,
  TUX_WRITTEN = 2, /* closed after it was open for writing */
  TUX_TRUNCATED = 3,
  TUX_REMOVED = 4,
  TUX_RENAMED = 5,
  TUX_EXCHANGED = 6
};

/* A change to a file of the machine. Its members are read only. */
typedef struct tux_change {
  int32_t kind;      /* an enum tux_change_kind */
  int32_t directory; /* 1 if it is one */
  uint32_t pid;      /* the process that did it; 0: the embedder */
  uint64_t context;  /* of the command that the process belongs to */
  char *path;        /* absolute, in the machine */
  char *to;          /* the other path of a rename or an exchange, or NULL */
} tux_change;

/* What a file is: inode(7). */
enum tux_file_kind {
  TUX_FILE = 1,
  TUX_DIRECTORY = 2,
  TUX_SYMLINK = 3,
  TUX_FIFO = 4,
  TUX_CHAR_DEVICE = 5,
  TUX_BLOCK_DEVICE = 6,
  TUX_SOCKET = 7
};

/* What stat(2) tells of a file. */
typedef struct tux_metadata {
  int32_t kind;  /* an enum tux_file_kind */
  uint32_t mode; /* permission bits, 07777 */
  uint32_t uid;
  uint32_t gid;
  uint64_t size; /* bytes */
  uint64_t inode;
  uint32_t links;
  uint32_t modified_nsec;
  uint64_t modified_sec; /* of the Unix epoch */
} tux_metadata;

/* An entry of a directory. */
typedef struct tux_entry {
  int32_t kind; /* an enum tux_file_kind */
  uint64_t inode;
  const char *name; /* until the next one is asked for, or the directory is freed */
} tux_entry;

/* A process that is about to be made by another one. */
typedef struct tux_fork {
  uint32_t parent;  /* the process that makes it */
  uint32_t uid;     /* user that it runs as */
  uint64_t context; /* of the command that it belongs to */
  uint64_t tasks;   /* threads of the machine now */
  char name[16];    /* name of the thread that makes it */
} tux_fork;

/* What is called with the `user` of a function that is not called any more. */
typedef void (*tux_drop)(void *user);
/* Gives 0 to allow the process, or the errno (Linux' number on arm64) that fork(2) fails with. Must return soon. */
typedef int (*tux_fork_guard)(const tux_fork *fork, void *user);
/* Writes an absolute path of the machine with its zero byte to `target`, of `room` bytes, and gives 0; anything else: ENOENT. */
typedef int (*tux_path_hook)(uint64_t context, char *target, size_t room, void *user);
/* Hears of bytes in use and the limit. Called by one thread, which may use the machine. */
typedef void (*tux_pressure)(uint64_t used, uint64_t limit, void *user);
/* A native command; its result is the exit code, 0 to 255. Called by the thread that would run the guest's code. */
typedef int (*tux_native)(tux_call *call, void *user);

/* Waits without limit. */
#define TUX_FOREVER UINT64_MAX

/* The library's version, such as "0.1.0". */
TUX_ANY_THREAD const char *tux_version(void);

/* Machines. The builder is used up by tux_builder_build, whether that succeeds or not. */
TUX_ANY_THREAD tux_builder *tux_builder_new(void);
TUX_ONE_THREAD void tux_builder_free(tux_builder *builder);
/* The root: an empty file system in memory, a directory of the host, or a store that `tuxlet` has made. */
TUX_ONE_THREAD int tux_builder_root_memory(tux_builder *builder, tux_error *error);
TUX_ONE_THREAD int tux_builder_root_dir(tux_builder *builder, const char *dir, tux_error *error);
TUX_ONE_THREAD int tux_builder_root_store(tux_builder *builder, const char *dir, tux_error *error);
/* Shows a directory or file of the host in the machine. */
TUX_ONE_THREAD int tux_builder_bind(tux_builder *builder, const char *host, const char *guest, int read_only,
    tux_error *error);
TUX_ONE_THREAD int tux_builder_hostname(tux_builder *builder, const char *name, tux_error *error);
/* The memory of all processes together, in bytes. */
TUX_ONE_THREAD int tux_builder_memory(tux_builder *builder, uint64_t bytes, tux_error *error);
/* A variable in the environment of every command, unless the command sets it itself. */
TUX_ONE_THREAD int tux_builder_env(tux_builder *builder, const char *name, const char *value, tux_error *error);
/* Asks `guard` before a process makes another one. Threads, and what tux_exec starts, are not asked for. */
TUX_ONE_THREAD int tux_builder_fork_guard(tux_builder *builder, tux_fork_guard guard, void *user, tux_drop drop,
    tux_error *error);
/* Makes `path` lead each process where `hook` says for its context, as a symbolic link does. */
TUX_ONE_THREAD int tux_builder_path_hook(tux_builder *builder, const char *path, tux_path_hook hook, void *user,
    tux_drop drop, tux_error *error);
/* Tells `listener` when more than `percent` of the memory limit come to be in use; again after that has fallen by a tenth. */
TUX_ONE_THREAD int tux_builder_memory_pressure(tux_builder *builder, uint8_t percent, tux_pressure listener, void *user,
    tux_drop drop, tux_error *error);
/*
 * Runs `function` where guests execute `name`: an absolute path, which is made where it is missing, or, without a slash, every program
 * executed under that name. To the guest it is a process like any other: it is waited for, killed, stopped and put into pipelines.
 */
TUX_ONE_THREAD int tux_builder_native(tux_builder *builder, const char *name, tux_native function, void *user,
    tux_drop drop, tux_error *error);
TUX_ONE_THREAD int tux_builder_build(tux_builder *builder, tux_machine **machine, tux_error *error);
/* Kills what runs, writes everything back, and frees. Processes that are still there keep the machine alive. */
TUX_ONE_THREAD void tux_machine_free(tux_machine *machine);
/* Makes everything that was written durable. */
TUX_ANY_THREAD int tux_machine_sync(tux_machine *machine, tux_error *error);
/*
 * For an app that goes to the background: holds all threads of the machine still (TUX_FAILED if one does not come to rest in time),
 * makes everything durable and releases the stores' locks; and the way back. A machine may be freed while it is suspended.
 */
TUX_ANY_THREAD int tux_machine_suspend(tux_machine *machine, uint64_t timeout_ms, tux_error *error);
TUX_ANY_THREAD int tux_machine_resume(tux_machine *machine, tux_error *error);
/* Sends a signal to any process: kill(2). */
TUX_ANY_THREAD int tux_machine_kill(tux_machine *machine, uint32_t pid, int signal, tux_error *error);
/* Kills every process; those that start meanwhile may survive. */
TUX_ANY_THREAD int tux_machine_kill_all(tux_machine *machine, tux_error *error);
TUX_ANY_THREAD int tux_machine_stats(tux_machine *machine, tux_stats *stats, tux_error *error);
/* Gives back memory that holds nothing but copies of files: for a host that runs short itself. Returns how many bytes. */
TUX_ANY_THREAD uint64_t tux_machine_trim(tux_machine *machine);

/*
 * Records what happens to the files of all mounted file systems from now on, at most `capacity` changes that wait: what finds no room takes
 * the place of the oldest. Not recorded are changes that the host makes, and those of permissions, owners and times.
 */
TUX_ANY_THREAD int tux_track_changes(tux_machine *machine, size_t capacity, tux_changes **changes, tux_error *error);
TUX_ONE_THREAD void tux_changes_free(tux_changes *changes);
/*
 * The oldest change that waits, freed with tux_change_free; TUX_TIMEOUT if there was none for so many milliseconds, TUX_CLOSED if there
 * is none after tux_changes_finish.
 */
TUX_ANY_THREAD int tux_changes_next(tux_changes *changes, uint64_t timeout_ms, tux_change **change, tux_error *error);
/* Lets all waiting for changes end, now and from now on. */
TUX_ANY_THREAD int tux_changes_finish(tux_changes *changes, tux_error *error);
TUX_ONE_THREAD void tux_change_free(tux_change *change);
/* How many changes were lost since this was asked last: whoever keeps a copy has to look at everything again. */
TUX_ANY_THREAD uint64_t tux_changes_dropped(tux_changes *changes);

/*
 * Inside a native command. Texts that these give stay as they are until the command returns; NULL: there is none. Those that can fail give
 * TUX_ENDED once the process is to end (a signal has killed it): the command returns then, and its exit code does not matter any more.
 */
TUX_SAME_THREAD int tux_call_argc(const tux_call *call);
/* Argument 0 is the command's name. */
TUX_SAME_THREAD const char *tux_call_arg(const tux_call *call, int index);
TUX_SAME_THREAD const char *tux_call_env(tux_call *call, const char *name);
TUX_SAME_THREAD const char *tux_call_cwd(tux_call *call);
TUX_SAME_THREAD uint32_t tux_call_pid(const tux_call *call);
/* For what works long without reading or writing: rests while the process is stopped, and tells when it is to end. */
TUX_SAME_THREAD int tux_call_check(tux_call *call, tux_error *error);
/* Waits for something to read: the number of bytes, 0 at the end. 0 is the standard input. */
TUX_SAME_THREAD int64_t tux_call_read(tux_call *call, int fd, uint8_t *buffer, size_t len, tux_error *error);
/* Writes all of it; 1 is the standard output, 2 that for errors. */
TUX_SAME_THREAD int tux_call_write(tux_call *call, int fd, const uint8_t *bytes, size_t len, tux_error *error);
/* Files of the machine, with the rights and from the working directory of the process. */
TUX_SAME_THREAD int tux_call_read_file(tux_call *call, const char *path, uint8_t **bytes, size_t *len,
    tux_error *error);
TUX_SAME_THREAD int tux_call_write_file(tux_call *call, const char *path, uint32_t mode, const uint8_t *bytes,
    size_t len, tux_error *error);

/* Files of the machine, as its superuser. The bytes of tux_read_file are freed with tux_bytes_free. */
TUX_ANY_THREAD int tux_read_file(tux_machine *machine, const char *path, uint8_t **bytes, size_t *len,
    tux_error *error);
TUX_ANY_THREAD int tux_write_file(tux_machine *machine, const char *path, uint32_t mode, const uint8_t *bytes,
    size_t len, tux_error *error);
/* At most so many bytes from `offset` on; fewer only at the file's end. Freed as above, as are those of tux_read_link. */
TUX_ANY_THREAD int tux_read_range(tux_machine *machine, const char *path, uint64_t offset, size_t most, uint8_t **bytes,
    size_t *len, tux_error *error);
TUX_ONE_THREAD void tux_bytes_free(uint8_t *bytes, size_t len);
/* What a path names; a symbolic link at its end is looked at itself if `follow` is 0. */
TUX_ANY_THREAD int tux_file_metadata(tux_machine *machine, const char *path, int follow, tux_metadata *metadata,
    tux_error *error);
/* A directory's entries at this time, without `.` and `..`, in the file system's order; TUX_CLOSED after the last one. */
TUX_ANY_THREAD int tux_open_directory(tux_machine *machine, const char *path, tux_directory **directory,
    tux_error *error);
TUX_ONE_THREAD int tux_directory_next(tux_directory *directory, tux_entry *entry, tux_error *error);
TUX_ONE_THREAD void tux_directory_free(tux_directory *directory);
/* Makes a directory and what is missing above it; it is no error if it is there. */
TUX_ANY_THREAD int tux_create_directory(tux_machine *machine, const char *path, tux_error *error);
/* Removes a file or an empty directory. */
TUX_ANY_THREAD int tux_remove(tux_machine *machine, const char *path, tux_error *error);
/* Renames a file or directory, replacing a file that is there: rename(2). */
TUX_ANY_THREAD int tux_rename(tux_machine *machine, const char *from, const char *to, tux_error *error);
TUX_ANY_THREAD int tux_symlink(tux_machine *machine, const char *target, const char *path, tux_error *error);
/* Where a symbolic link points; no zero byte at its end. */
TUX_ANY_THREAD int tux_read_link(tux_machine *machine, const char *path, uint8_t **bytes, size_t *len,
    tux_error *error);
TUX_ANY_THREAD int tux_set_mode(tux_machine *machine, const char *path, uint32_t mode, tux_error *error);

/* Commands. */
TUX_ANY_THREAD tux_command *tux_command_new(const char *program);
TUX_ONE_THREAD void tux_command_free(tux_command *command);
TUX_ONE_THREAD int tux_command_arg(tux_command *command, const char *arg, tux_error *error);
TUX_ONE_THREAD int tux_command_env(tux_command *command, const char *name, const char *value, tux_error *error);
/* A number of yours for the command and all processes that descend from it: for changes, the fork guard and path hooks. */
TUX_ONE_THREAD int tux_command_context(tux_command *command, uint64_t context, tux_error *error);
TUX_ONE_THREAD int tux_command_cwd(tux_command *command, const char *dir, tux_error *error);
TUX_ONE_THREAD int tux_command_user(tux_command *command, const char *user, tux_error *error);
/* `stream` is an enum tux_stream, `stdio` an enum tux_stdio. */
TUX_ONE_THREAD int tux_command_stdio(tux_command *command, int stream, int stdio, tux_error *error);
/* A terminal for all three streams: TUX_STDOUT then reads what it shows, tux_process_write types. */
TUX_ONE_THREAD int tux_command_terminal(tux_command *command, uint16_t rows, uint16_t cols, tux_error *error);

/* Starts a program. The command is used up, whether that succeeds or not. */
TUX_ANY_THREAD int tux_exec(tux_machine *machine, tux_command *command, tux_process **process, tux_error *error);

/* Processes. Freeing one leaves the program running. */
TUX_ONE_THREAD void tux_process_free(tux_process *process);
TUX_ANY_THREAD uint32_t tux_process_pid(const tux_process *process);
/* Waits for the end; TUX_TIMEOUT if it has not come after so many milliseconds. */
TUX_ANY_THREAD int tux_process_wait(tux_process *process, uint64_t timeout_ms, tux_status *status, tux_error *error);
TUX_ANY_THREAD int tux_process_kill(tux_process *process, int signal, tux_error *error);
/* Sends a signal to its process group: its children too, unless they have made groups of their own. */
TUX_ANY_THREAD int tux_process_kill_group(tux_process *process, int signal, tux_error *error);
/*
 * Reads what a program prints: the number of bytes, at least 1; 0 at the end; TUX_TIMEOUT if there was nothing for so many
 * milliseconds (terminals wait without limit).
 */
TUX_ANY_THREAD int64_t tux_process_read(tux_process *process, int stream, uint8_t *buffer, size_t len,
    uint64_t timeout_ms, tux_error *error);
/* Writes all of it, waiting until the program has made room. TUX_CLOSED if it never will. Two threads' texts may be mixed. */
TUX_ANY_THREAD int tux_process_write(tux_process *process, const uint8_t *bytes, size_t len, tux_error *error);
/*
 * Closes the embedder's end of a stream, and lets whoever waits with it go: of TUX_STDIN, the input ends after what was written; of the
 * others, the program gets SIGPIPE when it writes. Closing TUX_STDOUT of a terminal hangs it up. TUX_CLOSED if it was closed before.
 */
TUX_ANY_THREAD int tux_process_close(tux_process *process, int stream, tux_error *error);
/* Lets reading end after what has been printed so far, even if a program in the background has the stream open. */
TUX_ANY_THREAD int tux_process_finish(tux_process *process, tux_error *error);
TUX_ANY_THREAD int tux_process_resize(tux_process *process, uint16_t rows, uint16_t cols, tux_error *error);

#ifdef __cplusplus
}
#endif

#endif
