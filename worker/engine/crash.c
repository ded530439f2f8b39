/* SPDX-License-Identifier: MIT */
/*
 * crash.c - the handler of fatal signals.
 *
 * It runs in a process whose memory may be in any state: it allocates nothing, takes what
 * backtrace() and dladdr() find, and when it crashes itself, the signal's default action is already
 * back.
 */
#include "worker/engine/crash.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "millrace/check.h"

#define CRASH_FRAME_COUNT_MAX 32
#define CRASH_STACK_BYTES 65536

/* With an interpreter's frames to say, too, few of the machine's are enough. */
#define CRASH_FRAME_COUNT_FEW 8

static struct crash_shared *crash_report;
static int crash_ask_number; /* 0: there is no interpreter */
static int crash_ask_fd;
/* A stack of its own: the usual one may have overflowed. */
static uint8_t crash_stack[CRASH_STACK_BYTES];

static void crash_add(const char *text)
{
    while (*text != '\0' && crash_report->text_bytes < CRASH_TEXT_BYTES)
        crash_report->text[crash_report->text_bytes++] = *text++;
}

static void crash_add_hex(uintptr_t number)
{
    char digits[2 * sizeof number + 1];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number & 15];
        number >>= 4;
    } while (number != 0);
    crash_add("0x");
    crash_add(digits + at);
}

static const char *crash_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "words.so+0x1a2b words_next+0x1f" */
static void crash_add_frame(const void *address)
{
    Dl_info info;
    if (dladdr(address, &info) == 0 || !info.dli_fname) {
        crash_add_hex((uintptr_t)address);
    } else {
        crash_add(crash_base_name(info.dli_fname));
        crash_add("+");
        crash_add_hex((uintptr_t)address - (uintptr_t)info.dli_fbase);
        if (info.dli_sname) {
            crash_add(" ");
            crash_add(info.dli_sname);
            crash_add("+");
            crash_add_hex((uintptr_t)address - (uintptr_t)info.dli_saddr);
        }
    }
    crash_add("\n");
}

static void crash_add_answer(void)
{
    raise(crash_ask_number); /* its handler has returned when this does */
    char *room = crash_report->text + crash_report->text_bytes;
    ssize_t bytes = read(crash_ask_fd, room, CRASH_TEXT_BYTES - crash_report->text_bytes);
    crash_report->text_bytes += bytes > 0 ? (uint32_t)bytes : 0;
}

/* SA_RESETHAND gave the default action back, so that the signal ends the process this time. */
static void crash_on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    void *frames[CRASH_FRAME_COUNT_MAX];
    crash_report->code = info->si_code;
    /* Positive codes are the kernel's; the others are kill(2), tgkill(2) and the like. */
    crash_report->address = info->si_code > 0 ? (uintptr_t)info->si_addr : 0;
    bool is_sent = info->si_code <= 0 && info->si_pid != getpid();
    crash_report->sender = is_sent ? (uint32_t)info->si_pid : 0;
    crash_report->text_bytes = 0;
    crash_report->number = (uint32_t)number;
    int count = backtrace(frames, CRASH_FRAME_COUNT_MAX);
    /* The first frame is this handler, the second the kernel's return from it. */
    int last =
        crash_ask_number != 0 && count > CRASH_FRAME_COUNT_FEW ? CRASH_FRAME_COUNT_FEW : count;
    for (int i = 2; i < last; i++)
        crash_add_frame(frames[i]);
    if (crash_ask_number != 0)
        crash_add_answer();
    raise(number);
}

void crash_watch(struct crash_shared *report)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
    crash_report = report;
    void *frame;
    backtrace(&frame, 1); /* loads what it needs now, while memory can be had */
    const stack_t stack = {.ss_sp = crash_stack, .ss_size = sizeof crash_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = crash_on_signal,
                               .sa_flags =
                                   (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER)};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        sigaction(numbers[i], &action, NULL);
}

void crash_ask(int number, int fd)
{
    crash_ask_fd = fd;
    crash_ask_number = number;
}
