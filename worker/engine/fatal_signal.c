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

#define FATAL_SIGNAL_FRAME_COUNT_MAX 32
#define FATAL_SIGNAL_STACK_BYTES 65536

/* With an interpreter's frames to say, too, few of the machine's are enough. */
#define FATAL_SIGNAL_FRAME_COUNT_FEW 8

static struct crash_shared *fatal_signal_report;
static int fatal_signal_ask_number; /* 0: there is no interpreter */
static int fatal_signal_ask_fd;
/* A stack of its own: the usual one may have overflowed. */
static uint8_t fatal_signal_stack[FATAL_SIGNAL_STACK_BYTES];

static void fatal_signal_on_signal(int number, siginfo_t *info, void *context);

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
}

void fatal_signal_ask(int number, int fd)
{
    fatal_signal_ask_fd = fd;
    fatal_signal_ask_number = number;
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

static void fatal_signal_add_answer(void)
{
    raise(fatal_signal_ask_number); /* its handler has returned when this does */
    char *room = fatal_signal_report->text + fatal_signal_report->text_bytes;
    ssize_t bytes =
        read(fatal_signal_ask_fd, room, CRASH_TEXT_BYTES - fatal_signal_report->text_bytes);
    fatal_signal_report->text_bytes += bytes > 0 ? (uint32_t)bytes : 0;
}

/* SA_RESETHAND gave the default action back, so that the signal ends the process this time. */
static void fatal_signal_on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    void *frames[FATAL_SIGNAL_FRAME_COUNT_MAX];
    fatal_signal_report->code = info->si_code;
    /* Positive codes are the kernel's; the others are kill(2), tgkill(2) and the like. */
    fatal_signal_report->address = info->si_code > 0 ? (uintptr_t)info->si_addr : 0;
    bool is_sent = info->si_code <= 0 && info->si_pid != getpid();
    fatal_signal_report->sender = is_sent ? (uint32_t)info->si_pid : 0;
    fatal_signal_report->text_bytes = 0;
    fatal_signal_report->number = (uint32_t)number;
    int count = backtrace(frames, FATAL_SIGNAL_FRAME_COUNT_MAX);
    /* The first frame is this handler, the second the kernel's return from it. */
    int last = fatal_signal_ask_number != 0 && count > FATAL_SIGNAL_FRAME_COUNT_FEW
                   ? FATAL_SIGNAL_FRAME_COUNT_FEW
                   : count;
    for (int i = 2; i < last; i++)
        fatal_signal_add_frame(frames[i]);
    if (fatal_signal_ask_number != 0)
        fatal_signal_add_answer();
    raise(number);
}
