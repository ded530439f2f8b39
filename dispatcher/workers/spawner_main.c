/* SPDX-License-Identifier: MIT */
/*
 * spawner_main.c - the spawner: takes requests, makes processes, and cleans up after the server.
 *
 * It has one socket, a pidfd of the server, /dev/null and stderr, no memory that grows, and all
 * signals blocked. It ends when the server closes its end of the socket, or is gone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/workers/spawner.h"
#include "millrace/protocol.h"
#include "shm/descriptors.h"

/* Descriptors that a worker must not find are above those it wants, and close-on-exec. */
#define FD_HIGH 32
#define FD_SOCKET 3 /* as spawner_open() left it */

#define EXIT_NOT_EXECUTED 127
#define REQUEST_CLOSE 2
#define VARIABLE_COUNT_MAX 4096u
#define CLEAN_TRIES 100
#define CLEAN_TRY_MS 10

extern char **environ;

/* The one that is being worked on. */
struct request {
    struct spawn_request header;
    char text[SPAWN_TEXT_BYTES_MAX];
    int fds[START_FD_COUNT];
    char *strings[SPAWN_STRING_COUNT_MAX];
    char *arguments[SPAWN_STRING_COUNT_MAX + 1];
    char *environment[VARIABLE_COUNT_MAX + 1];
};

static bool spawner_main_prepare(pid_t parent, int *socket, int *parent_pidfd);

/* ---- what is said -------------------------------------------------------------------------- */

static bool spawner_main_answer_send(int socket, struct spawn_answer answer, int pidfd)
{
    struct iovec part = {&answer, sizeof(answer)};
    return descriptors_send(socket, &(struct packet){&part, 1, &pidfd, pidfd >= 0}, 0) == 0;
}

static struct spawn_answer spawner_main_answer_to(const struct request *request,
                                                  enum spawn_answer_kind kind, pid_t pid, int error)
{
    return (struct spawn_answer){.magic = SPAWN_MAGIC,
                                 .kind = kind,
                                 .index = request->header.index,
                                 .generation = request->header.generation,
                                 .pid = pid,
                                 .error = error};
}

/* ---- what is asked ------------------------------------------------------------------------- */

/* Finds the strings in the text; false: they are not what the header says. */
static bool spawner_main_strings_find(struct request *request, size_t bytes)
{
    const struct spawn_request *header = &request->header;
    if (bytes == 0 || bytes != header->text_bytes || request->text[bytes - 1] != '\0')
        return false;
    uint32_t count = 0;
    for (char *at = request->text; at < request->text + bytes; at += strlen(at) + 1) {
        if (count == SPAWN_STRING_COUNT_MAX)
            return false;
        request->strings[count++] = at;
    }
    return header->argument_count > 0 && header->argument_count < count &&
           header->variable_count == count - 1 - header->argument_count;
}

static bool spawner_main_is_replaced(const char *variable, char *const *replaced, uint32_t count)
{
    size_t name_bytes = strcspn(variable, "=") + 1;
    for (uint32_t i = 0; i < count; i++)
        if (strncmp(variable, replaced[i], name_bytes) == 0)
            return true;
    return false;
}

/* The two lists of execve(). Our own variables are those that every worker has. */
static void spawner_main_lists_fill(struct request *request)
{
    uint32_t argument_count = request->header.argument_count;
    uint32_t variable_count = request->header.variable_count;
    char *const *variables = request->strings + 1 + argument_count;
    memcpy(request->arguments, request->strings + 1, argument_count * sizeof(char *));
    request->arguments[argument_count] = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < variable_count; i++)
        request->environment[count++] = variables[i];
    for (size_t i = 0; environ && environ[i] && count < VARIABLE_COUNT_MAX; i++)
        if (!spawner_main_is_replaced(environ[i], variables, variable_count))
            request->environment[count++] = environ[i];
    request->environment[count] = NULL;
}

static void spawner_main_fds_close(struct request *request)
{
    for (size_t i = 0; i < START_FD_COUNT; i++)
        descriptor_close(&request->fds[i]);
}

/* The next request: 1; REQUEST_CLOSE: no more than to close fds[0]; 0: there is no server any more;
 * -EMFILE: its descriptors did not all fit here; -EBADMSG. The descriptors that came are in
 * request->fds, else -1. */
static int spawner_main_request_receive(int socket, struct request *request)
{
    struct iovec parts[] = {{&request->header, sizeof(request->header)},
                            {request->text, sizeof(request->text)}};
    struct packet packet = {parts, ARRAY_COUNT(parts), request->fds, START_FD_COUNT};
    ssize_t count = descriptors_receive(socket, &packet, 0);
    if (count <= 0)
        return count == -EMSGSIZE ? -EBADMSG : 0;
    if ((size_t)count == sizeof(request->header) && request->header.magic == SPAWN_CLOSE_MAGIC)
        return REQUEST_CLOSE;
    if ((size_t)count < sizeof(request->header) || request->header.magic != SPAWN_MAGIC ||
        !spawner_main_strings_find(request, (size_t)count - sizeof(request->header)))
        return -EBADMSG;
    spawner_main_lists_fill(request);
    return request->fds[START_FD_COUNT - 1] >= 0 ? 1 : -EMFILE;
}

/* ---- the child ----------------------------------------------------------------------------- */

/* Every descriptor to its number. Lifted first: else one could overwrite another that is still to
 * be moved. */
static int spawner_main_fds_place(const struct request *request)
{
    int lifted[START_FD_COUNT];
    for (size_t i = 0; i < START_FD_COUNT; i++) {
        lifted[i] = fcntl(request->fds[i], F_DUPFD_CLOEXEC, FD_HIGH);
        if (lifted[i] == -1)
            return -errno;
    }
    for (size_t i = 0; i < START_FD_COUNT; i++)
        if (dup2(lifted[i], start_fd_number((enum start_fd)i)) == -1)
            return -errno;
    /* Marked and not closed: what goes wrong from here on is said on one of them. */
    return close_range(WORKER_FD_COUNT, ~0u, CLOSE_RANGE_CLOEXEC) == -1 ? -errno : 0;
}

/* Waits until the server knows of it, and becomes the worker. A child that was never told of ends
 * with the spawner, whose group it is still in. */
static _Noreturn void child_run(int socket, const struct request *request, const int go[2])
{
    char byte;
    sigset_t none;
    sigemptyset(&none);
    close(go[1]);
    if (read(go[0], &byte, 1) != 1)
        _exit(EXIT_NOT_EXECUTED);
    /* A group of its own: what it starts is ended with it. */
    int rc = setpgid(0, 0) == -1 ? -errno : spawner_main_fds_place(request);
    if (rc == 0) {
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(request->strings[0], request->arguments, request->environment);
        rc = -errno;
    }
    spawner_main_answer_send(socket,
                             spawner_main_answer_to(request, SPAWN_EXEC_FAILED, getpid(), -rc), -1);
    _exit(EXIT_NOT_EXECUTED);
}

/* The child is our sibling: the server waits for it, and is its parent in all that counts. Its
 * memory is a copy of the little that we have. */
static pid_t spawner_main_child_create(int *pidfd)
{
    return (pid_t)syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, NULL);
}

static int spawner_main_child_start(int socket, const struct request *request)
{
    int go[2], pidfd = -1;
    if (pipe2(go, O_CLOEXEC) == -1)
        return -errno;
    pid_t pid = spawner_main_child_create(&pidfd);
    if (pid == 0)
        child_run(socket, request, go);
    int rc = pid == -1 ? -errno : 0;
    if (rc == 0 &&
        spawner_main_answer_send(socket, spawner_main_answer_to(request, SPAWN_STARTED, pid, 0),
                                 pidfd) &&
        write(go[1], "", 1) != 1)
        rc = -errno;
    descriptor_close(&pidfd);
    close(go[0]);
    close(go[1]);
    return pid == -1 ? rc : 0;
}

/* Who sends a descriptor closes its own soon after, and must not be the last one: he is waited for.
 * A machine on which the server does not run for that long is slow anyway. */
#define SENDER_CLOSES_MS 2000

/* Closes what came, in a child: it may hold what a worker sent, which takes whoever closes it last
 * as long as it likes. The child's exit is that. */
static void spawner_main_close_apart(struct request *request)
{
    char byte;
    int go[2];
    if (pipe2(go, O_CLOEXEC) == -1) {
        spawner_main_fds_close(request);
        return;
    }
    pid_t pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        close(go[1]);
        int rc = read(go[0], &byte, 1) == 0 ? 0 : EXIT_NOT_EXECUTED;
        poll(NULL, 0, SENDER_CLOSES_MS);
        _exit(rc);
    }
    close(go[0]);
    spawner_main_fds_close(request);
    close(go[1]);
    while (waitpid(-1, NULL, WNOHANG | __WALL) > 0) /* those before */
        continue;
}

/* ---- what is left of the workers ----------------------------------------------------------- */

/* Whether the process lives and is in our session. While we live, its number is nobody else's. */
static bool spawner_main_is_in_session(pid_t pid)
{
    char path[40], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return false;
    ssize_t count = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[count > 0 ? count : 0] = '\0';
    /* "PID (NAME) STATE PARENT GROUP SESSION ...", and the name may have parentheses. */
    const char *at = strrchr(text, ')');
    char state;
    int session;
    unsigned thread_count;
    return at &&
           sscanf(at + 1, " %c %*d %*d %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %u",
                  &state, &session, &thread_count) == 3 &&
           session == getpid() && process_lives(state, thread_count);
}

/* In our session, or of a user that only workers have: one of those may have left the session. */
static bool spawner_main_is_ours(pid_t pid, const struct own_users *users)
{
    uid_t uid;
    return spawner_main_is_in_session(pid) ||
           (users->count > 0 && process_user(pid, &uid) && own_users_have(users, uid));
}

/* The pidfd is taken between two looks, so it is of the process that was looked at. */
static bool spawner_main_kill_if_ours(pid_t pid, const struct own_users *users)
{
    if (pid <= 0 || pid == getpid() || !spawner_main_is_ours(pid, users))
        return false;
    int pidfd = pidfd_open(pid, 0);
    if (pidfd == -1)
        return false;
    bool is_still_ours = spawner_main_is_ours(pid, users);
    if (is_still_ours)
        pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    close(pidfd);
    return is_still_ours;
}

/* Again and again, since they may start others meanwhile; bounded. */
static void spawner_main_workers_clean(const struct own_users *users)
{
    for (int i = 0; i < CLEAN_TRIES; i++) {
        uint32_t count = 0;
        DIR *folder = opendir("/proc");
        struct dirent *entry;
        while (folder && (entry = readdir(folder)) != NULL)
            count += spawner_main_kill_if_ours((pid_t)strtol(entry->d_name, NULL, 10), users);
        if (folder)
            closedir(folder);
        if (count == 0)
            return;
        poll(NULL, 0, CLEAN_TRY_MS);
    }
}

/* ---- the whole ----------------------------------------------------------------------------- */

int spawner_main(int argc, char **argv)
{
    static struct request request;
    int socket, parent_pidfd;
    struct own_users users;
    if (argc != 3 || sscanf(argv[2], "%u:%u", &users.first, &users.count) != 2 ||
        getsid(0) != getpid() ||
        !spawner_main_prepare((pid_t)strtol(argv[1], NULL, 10), &socket, &parent_pidfd))
        return EXIT_NOT_EXECUTED;
    struct pollfd fds[] = {{.fd = socket, .events = POLLIN},
                           {.fd = parent_pidfd, .events = POLLIN}};
    for (;;) {
        if (poll(fds, ARRAY_COUNT(fds), -1) == -1 && errno != EINTR)
            break;
        if (fds[1].revents != 0)
            break;
        if (fds[0].revents == 0)
            continue;
        int rc = spawner_main_request_receive(socket, &request);
        if (rc == 0)
            break;
        mr_assert(rc != -EBADMSG);
        if (rc == REQUEST_CLOSE) {
            spawner_main_close_apart(&request);
            continue;
        }
        if (rc > 0)
            rc = spawner_main_child_start(socket, &request);
        spawner_main_fds_close(&request);
        if (rc < 0)
            spawner_main_answer_send(socket, spawner_main_answer_to(&request, SPAWN_FAILED, 0, -rc),
                                     -1);
    }
    spawner_main_workers_clean(&users);
    return 0;
}

/* False: the server has gone already. */
static bool spawner_main_prepare(pid_t parent, int *socket, int *parent_pidfd)
{
    /* A spawner that somebody stopped goes on when the server is gone, and ends. */
    prctl(PR_SET_PDEATHSIG, SIGCONT);
    prctl(PR_SET_NAME, "mr-spawner");
    unsetenv("MILLRACE_SYSTEM_ROOT"); /* where devices are looked for is no worker's business */
    if (getppid() != parent)
        return false;
    *socket = fcntl(FD_SOCKET, F_DUPFD_CLOEXEC, FD_HIGH);
    if (*socket == -1)
        return false;
    close_range(FD_SOCKET, FD_HIGH - 1, 0);
    /* Sooner than the end of the socket, which a dying io_uring may hold for a moment. */
    *parent_pidfd = pidfd_open(parent, 0);
    int own = pidfd_open(getpid(), 0);
    struct spawn_answer ready = {.magic = SPAWN_MAGIC, .kind = SPAWN_READY, .pid = getpid()};
    bool is_sent = spawner_main_answer_send(*socket, ready, own);
    descriptor_close(&own);
    return is_sent;
}
