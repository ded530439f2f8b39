/* SPDX-License-Identifier: MIT */
/*
 * fatal_signal.c - the handler of fatal signals.
 *
 * It runs in a process whose memory may be in any state: it allocates nothing, takes what
 * backtrace() and dladdr() find, and when it crashes itself, the signal's default action is already
 * back.
 */
#include "worker/engine/fatal_signal.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "millrace/check.h"
#include "millrace/protocol.h"
#include "worker/engine/log_capture.h"

#define FATAL_SIGNAL_FRAME_COUNT_MAX 32
#define FATAL_SIGNAL_STACK_BYTES 65536

/* With an interpreter's frames to say, too, few of the machine's are enough. */
#define FATAL_SIGNAL_FRAME_COUNT_FEW 8

#define FATAL_SIGNAL_FILE_COUNT_MAX 8u
#define FATAL_SIGNAL_FILE_BYTES_MAX 512u

/* As Python's faulthandler begins the line of a frame. */
#define FATAL_SIGNAL_FRAME_START "  File \""

static struct crash_shared *fatal_signal_report;
static struct fatal_signal_interpreter fatal_signal_interpreter; /* number 0: there is none */
static const void *fatal_signal_interpreter_base;                /* of its code; NULL: not known */
static char fatal_signal_files[FATAL_SIGNAL_FILE_COUNT_MAX][FATAL_SIGNAL_FILE_BYTES_MAX];
static uint32_t fatal_signal_file_count;
/* A stack of its own: the usual one may have overflowed. */
static uint8_t fatal_signal_stack[FATAL_SIGNAL_STACK_BYTES];

static void fatal_signal_on_signal(int number, siginfo_t *info, void *context);
static void fatal_signal_on_where(int number, siginfo_t *info, void *context);

void fatal_signal_watch(struct crash_shared *report)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
    fatal_signal_report = report;
    void *frame;
    backtrace(&frame, 1); /* loads what it needs now, while memory can be had */
    const stack_t stack = {.ss_sp = fatal_signal_stack, .ss_size = sizeof fatal_signal_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = fatal_signal_on_signal,
                               .sa_flags =
                                   (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER)};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        sigaction(numbers[i], &action, NULL);
    action.sa_sigaction = fatal_signal_on_where;
    sigaction(WORKER_SIGNAL_WHERE, &action, NULL);
}

void fatal_signal_ask(const struct fatal_signal_interpreter *interpreter)
{
    Dl_info info;
    if (dladdr(interpreter->inside, &info) != 0)
        fatal_signal_interpreter_base = info.dli_fbase;
    fatal_signal_interpreter = *interpreter;
}

void fatal_signal_leave_out(const char *file)
{
    size_t bytes = strlen(file) + 1;
    if (fatal_signal_file_count == FATAL_SIGNAL_FILE_COUNT_MAX || bytes == 1 ||
        bytes > FATAL_SIGNAL_FILE_BYTES_MAX)
        return;
    memcpy(fatal_signal_files[fatal_signal_file_count], file, bytes);
    fatal_signal_file_count++;
}

static void fatal_signal_add(const char *text)
{
    while (*text != '\0' && fatal_signal_report->text_bytes < CRASH_TEXT_BYTES)
        fatal_signal_report->text[fatal_signal_report->text_bytes++] = *text++;
}

static void fatal_signal_add_hex(uintptr_t number)
{
    char digits[2 * sizeof number + 1];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number & 15];
        number >>= 4;
    } while (number != 0);
    fatal_signal_add("0x");
    fatal_signal_add(digits + at);
}

static const char *fatal_signal_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "words.so+0x1a2b words_next+0x1f" */
static void fatal_signal_add_frame(const void *address)
{
    Dl_info info;
    if (dladdr(address, &info) == 0 || !info.dli_fname) {
        fatal_signal_add_hex((uintptr_t)address);
    } else {
        fatal_signal_add(fatal_signal_base_name(info.dli_fname));
        fatal_signal_add("+");
        fatal_signal_add_hex((uintptr_t)address - (uintptr_t)info.dli_fbase);
        if (info.dli_sname) {
            fatal_signal_add(" ");
            fatal_signal_add(info.dli_sname);
            fatal_signal_add("+");
            fatal_signal_add_hex((uintptr_t)address - (uintptr_t)info.dli_saddr);
        }
    }
    fatal_signal_add("\n");
}

static bool fatal_signal_is_left_out(const char *line, size_t bytes)
{
    size_t start = strlen(FATAL_SIGNAL_FRAME_START);
    if (bytes < start || memcmp(line, FATAL_SIGNAL_FRAME_START, start) != 0)
        return false;
    for (uint32_t i = 0; i < fatal_signal_file_count; i++) {
        size_t count = strlen(fatal_signal_files[i]);
        if (bytes - start >= count && memcmp(line + start, fatal_signal_files[i], count) == 0)
            return true;
    }
    return false;
}

/* Moves the lines that stay together. */
static uint32_t fatal_signal_pick(char *text, size_t bytes)
{
    size_t kept = 0;
    for (size_t at = 0; at < bytes;) {
        const char *newline = memchr(text + at, '\n', bytes - at);
        size_t line = newline ? (size_t)(newline - text) + 1 - at : bytes - at;
        if (!fatal_signal_is_left_out(text + at, line)) {
            memmove(text + kept, text + at, line);
            kept += line;
        }
        at += line;
    }
    return (uint32_t)kept;
}

/* A pipe holds what an interpreter says of all its threads; the report has less room, and what is
 * left out makes more. */
static void fatal_signal_add_answer(int number)
{
    raise(number); /* its handler has returned when this does */
    for (;;) {
        char *room = fatal_signal_report->text + fatal_signal_report->text_bytes;
        ssize_t bytes = read(fatal_signal_interpreter.fd, room,
                             CRASH_TEXT_BYTES - fatal_signal_report->text_bytes);
        if (bytes <= 0)
            return;
        fatal_signal_report->text_bytes += fatal_signal_pick(room, (size_t)bytes);
    }
}

/* The first line: why it aborted, if that was a C++ exception. */
static void fatal_signal_add_uncaught(void)
{
    if (log_capture_uncaught()[0] == '\0')
        return;
    fatal_signal_add(CRASH_UNCAUGHT);
    fatal_signal_add(log_capture_uncaught());
    fatal_signal_add("\n");
}

/* SA_RESETHAND gave the default action back, so that the signal ends the process this time. */
static void fatal_signal_on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    void *frames[FATAL_SIGNAL_FRAME_COUNT_MAX];
    bool has_interpreter = fatal_signal_interpreter.number != 0;
    fatal_signal_report->code = info->si_code;
    /* Positive codes are the kernel's; the others are kill(2), tgkill(2) and the like. */
    fatal_signal_report->address = info->si_code > 0 ? (uintptr_t)info->si_addr : 0;
    bool is_sent = info->si_code <= 0 && info->si_pid != getpid();
    fatal_signal_report->sender = is_sent ? (uint32_t)info->si_pid : 0;
    fatal_signal_report->text_bytes = 0;
    fatal_signal_report->number = (uint32_t)number;
    if (number == SIGABRT)
        fatal_signal_add_uncaught();
    int count = backtrace(frames, FATAL_SIGNAL_FRAME_COUNT_MAX);
    /* The first frame is this handler, the second the kernel's return from it. */
    int last = has_interpreter && count > FATAL_SIGNAL_FRAME_COUNT_FEW
                   ? FATAL_SIGNAL_FRAME_COUNT_FEW
                   : count;
    for (int i = 2; i < last; i++)
        fatal_signal_add_frame(frames[i]);
    if (has_interpreter)
        fatal_signal_add_answer(fatal_signal_interpreter.number);
    raise(number);
}

/* Frames of the machine up to the first one of the interpreter: what its code does, it says. */
static void fatal_signal_add_frames_above(void *const *frames, int count)
{
    for (int i = 0; i < count; i++) {
        Dl_info info;
        if (fatal_signal_interpreter_base && dladdr(frames[i], &info) != 0 &&
            info.dli_fbase == fatal_signal_interpreter_base)
            return;
        fatal_signal_add_frame(frames[i]);
    }
}

/* It runs in the first thread, unless that blocks signals. Where runs have threads of their own,
 * the first one hangs in none. */
static void fatal_signal_on_where(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    const struct fatal_signal_interpreter *interpreter = &fatal_signal_interpreter;
    void *frames[FATAL_SIGNAL_FRAME_COUNT_MAX];
    fatal_signal_report->code = 0;
    fatal_signal_report->address = 0;
    fatal_signal_report->sender = 0;
    fatal_signal_report->text_bytes = 0;
    fatal_signal_report->number = (uint32_t)number;
    int count = backtrace(frames, FATAL_SIGNAL_FRAME_COUNT_MAX);
    /* As above, two of them are of no interest. */
    if (interpreter->number == interpreter->where_number && count > 2)
        fatal_signal_add_frames_above(frames + 2, count - 2);
    if (interpreter->number != 0)
        fatal_signal_add_answer(interpreter->where_number);
    raise(SIGKILL);
}
