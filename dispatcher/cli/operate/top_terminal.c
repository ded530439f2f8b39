/* SPDX-License-Identifier: MIT */
/* top_terminal.c - a terminal that shows one screen after another, and is left as it was. */
#include "dispatcher/cli/operate/top_terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "dispatcher/cli/operate/cells.h"

/* The alternate screen, cleared; no cursor; lines that are too long are cut. And back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"

#define KEYS_BYTES 64u /* that are read at once */

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};

static int terminal_write(const char *bytes, size_t count);
static int terminal_enter(const struct top_terminal *terminal);
static void terminal_leave(const struct top_terminal *terminal);
static enum top_key terminal_signal(struct top_terminal *terminal);
static enum top_key terminal_key(void);

bool top_terminal_is_there(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 && kind && *kind != '\0' &&
           strcmp(kind, "dumb") != 0;
}

void top_terminal_size(uint32_t *columns, uint32_t *rows)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1)
        return;
    *columns = size.ws_col > 0 ? size.ws_col : *columns;
    *rows = size.ws_row > 0 ? size.ws_row : *rows;
}

int top_terminal_open(struct top_terminal *terminal)
{
    sigset_t taken;
    int rc;
    *terminal = (struct top_terminal){.signal_fd = -1};
    if (tcgetattr(STDIN_FILENO, &terminal->usual) == -1)
        return -errno;
    sigemptyset(&taken);
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++)
        sigaddset(&taken, signals[i]);
    if (sigprocmask(SIG_BLOCK, &taken, &terminal->mask) == -1)
        return -errno;
    terminal->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    rc = terminal->signal_fd == -1 ? -errno : terminal_enter(terminal);
    if (rc < 0)
        top_terminal_close(terminal);
    return rc;
}

void top_terminal_close(struct top_terminal *terminal)
{
    terminal_leave(terminal);
    if (terminal->signal_fd != -1)
        close(terminal->signal_fd);
    terminal->signal_fd = -1;
    if (terminal->ended_by != 0) {
        struct sigaction usual = {.sa_handler = SIG_DFL};
        sigaction(terminal->ended_by, &usual, NULL);
        raise(terminal->ended_by); /* comes with the mask */
    }
    sigprocmask(SIG_SETMASK, &terminal->mask, NULL);
}

/* Keys come one by one and are not shown. Those that send signals go on to do that. */
static int terminal_enter(const struct top_terminal *terminal)
{
    struct termios raw = terminal->usual;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == -1)
        return -errno;
    return terminal_write(ENTER, sizeof ENTER - 1);
}

static void terminal_leave(const struct top_terminal *terminal)
{
    (void)terminal_write(LEAVE, sizeof LEAVE - 1);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal->usual);
}

static int terminal_write(const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, count);
        if (written == -1 && errno != EINTR)
            return -errno;
        if (written > 0) {
            bytes += written;
            count -= (size_t)written;
        }
    }
    return 0;
}

/* Whether a line ends before the last column; colors take none, and no character more than two. */
static bool terminal_is_short(const char *line, size_t bytes, uint32_t columns)
{
    struct text shown = {0};
    for (size_t i = 0; i < bytes; i++) {
        const char *end = line[i] == '\033' ? memchr(line + i, 'm', bytes - i) : NULL;
        if (end)
            i = (size_t)(end - line);
        else
            text_add_bytes(&shown, &line[i], 1);
    }
    text_add_bytes(&shown, "", 1);
    bool is_short = !shown.failed && cells_width(shown.bytes) < columns;
    text_finish(&shown);
    return is_short;
}

/* What is left of the line that was there is cleared behind the new one; but behind its last column
 * the cursor stands on that, so a whole line is cleared before. The last line has no newline, which
 * would move all others up. */
int top_terminal_draw(const struct text *lines, uint32_t columns)
{
    struct text frame = {0};
    const char *at = lines->bytes;
    size_t left = lines->count;
    text_add(&frame, HOME);
    while (left > 0) {
        const char *newline = memchr(at, '\n', left);
        size_t bytes = newline ? (size_t)(newline - at) : left;
        bool is_short = terminal_is_short(at, bytes, columns);
        text_add(&frame, "%s", is_short ? "" : CLEAR_LINE);
        text_add_bytes(&frame, at, bytes);
        text_add(&frame, "%s", is_short ? CLEAR_LINE : "");
        bytes += newline != NULL;
        at += bytes;
        left -= bytes;
        if (left > 0)
            text_add(&frame, "\r\n");
    }
    int rc = frame.failed ? -ENOMEM : terminal_write(frame.bytes, frame.count);
    text_finish(&frame);
    return rc;
}

/* ---- keys ---------------------------------------------------------------------------------- */

bool top_terminal_has_key(const struct top_terminal *terminal)
{
    struct pollfd both[] = {{.fd = terminal->signal_fd, .events = POLLIN},
                            {.fd = STDIN_FILENO, .events = POLLIN}};
    return poll(both, ARRAY_COUNT(both), 0) > 0;
}

enum top_key top_terminal_wait(struct top_terminal *terminal, int timeout_ms)
{
    struct pollfd both[] = {{.fd = terminal->signal_fd, .events = POLLIN},
                            {.fd = STDIN_FILENO, .events = POLLIN}};
    if (poll(both, ARRAY_COUNT(both), timeout_ms) <= 0)
        return TOP_KEY_NONE;
    return both[0].revents ? terminal_signal(terminal) : terminal_key();
}

static enum top_key terminal_signal(struct top_terminal *terminal)
{
    struct signalfd_siginfo info;
    if (read(terminal->signal_fd, &info, sizeof info) != sizeof info)
        return TOP_KEY_NONE;
    switch (info.ssi_signo) {
    case SIGWINCH:
        return TOP_KEY_REDRAW;
    case SIGTSTP:
        terminal_leave(terminal);
        raise(SIGSTOP); /* what comes behind it is done when this process goes on */
        return terminal_enter(terminal) == 0 ? TOP_KEY_REDRAW : TOP_KEY_QUIT;
    case SIGCONT: /* after a stop that could not be seen coming */
        return terminal_enter(terminal) == 0 ? TOP_KEY_REDRAW : TOP_KEY_QUIT;
    default:
        terminal->ended_by = (int)info.ssi_signo;
        return TOP_KEY_SIGNAL;
    }
}

static enum top_key terminal_key(void)
{
    static const struct {
        const char *bytes;
        enum top_key key;
    } keys[] = {
        {"q", TOP_KEY_QUIT},
        {"Q", TOP_KEY_QUIT},
        {"\x04", TOP_KEY_QUIT},
        {"p", TOP_KEY_PAUSE},
        {" ", TOP_KEY_PAUSE},
        {"w", TOP_KEY_WORKERS},
        {"k", TOP_KEY_UP},
        {"\033[A", TOP_KEY_UP},
        {"\033OA", TOP_KEY_UP},
        {"j", TOP_KEY_DOWN},
        {"\033[B", TOP_KEY_DOWN},
        {"\033OB", TOP_KEY_DOWN},
        {"\033[5~", TOP_KEY_PAGE_UP},
        {"\033[6~", TOP_KEY_PAGE_DOWN},
    };
    char read_bytes[KEYS_BYTES];
    ssize_t count = read(STDIN_FILENO, read_bytes, sizeof read_bytes);
    if (count == 0 || (count == -1 && errno != EINTR && errno != EAGAIN))
        return TOP_KEY_QUIT;
    /* Of several that came at once, held down or pasted, the last one. */
    for (ssize_t from = 0; from < count; from++)
        for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
            if (strlen(keys[i].bytes) == (size_t)(count - from) &&
                memcmp(keys[i].bytes, read_bytes + from, (size_t)(count - from)) == 0)
                return keys[i].key;
    return TOP_KEY_NONE;
}
