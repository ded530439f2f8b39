/* SPDX-License-Identifier: MIT */
/* mps_control.c - commands for nvidia-cuda-mps-control, and its answers: numbers of processes. */
#include "dispatcher/devices/mps_control.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/reactor/child.h"

#define PROGRAM "nvidia-cuda-mps-control"
#define PIPE_FOLDER "CUDA_MPS_PIPE_DIRECTORY"
#define ANSWER_BYTES 4096u
#define SERVER_COUNT_MAX 64u /* one for each user, and seldom more than one */
#define EXIT_NOT_EXECUTED 127

/* In the child: it ends with us, who are ended when the time is over. */
static _Noreturn void control_execute(int in, int out)
{
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(in, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1)
        _exit(EXIT_NOT_EXECUTED);
    close_range(CHILD_FD_SOCKET, ~0u, 0);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execlp(PROGRAM, PROGRAM, (char *)NULL);
    _exit(EXIT_NOT_EXECUTED);
}

static void control_read(int fd, char answer[ANSWER_BYTES])
{
    size_t count = 0;
    ssize_t more;
    while (count < ANSWER_BYTES - 1 &&
           (more = read(fd, answer + count, ANSWER_BYTES - 1 - count)) > 0)
        count += (size_t)more;
    answer[count] = '\0';
}

static bool control_write(int fd, const char *command)
{
    size_t bytes = strlen(command);
    return write(fd, command, bytes) == (ssize_t)bytes;
}

/* One command, and all that is said to it. False: it could not be asked. */
static bool control_ask(const char *command, char answer[ANSWER_BYTES])
{
    int in[2], out[2], status = -1;
    if (pipe(in) == -1)
        return false;
    if (pipe(out) == -1) {
        close(in[0]);
        close(in[1]);
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(in[1]);
        control_execute(in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    bool is_asked = pid > 0 && control_write(in[1], command);
    close(in[1]);
    control_read(out[0], answer);
    close(out[0]);
    return pid > 0 && waitpid(pid, &status, 0) == pid && is_asked && status == 0;
}

/* The next number of a text that has them between other things; 0: there are no more. */
static long control_number_next(const char **text)
{
    *text += strcspn(*text, "0123456789");
    char *end;
    long number = strtol(*text, &end, 10);
    *text = end;
    return number;
}

static bool control_has(const char *text, long number)
{
    for (long found; (found = control_number_next(&text)) != 0;)
        if (found == number)
            return true;
    return false;
}

/* Of those of this server. */
static enum mps_result control_end_of(long server, long pid)
{
    char command[64], answer[ANSWER_BYTES];
    snprintf(command, sizeof command, "get_client_list %ld\n", server);
    if (!control_ask(command, answer))
        return MPS_NO_CONTROL;
    if (!control_has(answer, pid))
        return MPS_NO_CLIENT;
    snprintf(command, sizeof command, "terminate_client %ld %ld\n", server, pid);
    return control_ask(command, answer) ? MPS_ENDED : MPS_NO_CONTROL;
}

enum mps_result mps_control_end(const struct mps_request *request)
{
    static char servers[ANSWER_BYTES]; /* two on the stack would be much */
    if (setenv(PIPE_FOLDER, request->folder, 1) == -1 || !control_ask("get_server_list\n", servers))
        return MPS_NO_CONTROL;
    const char *text = servers;
    enum mps_result result = MPS_NO_CLIENT;
    for (unsigned i = 0; i < SERVER_COUNT_MAX && result == MPS_NO_CLIENT; i++) {
        long server = control_number_next(&text);
        if (server == 0)
            break;
        result = control_end_of(server, request->pid);
    }
    return result;
}
