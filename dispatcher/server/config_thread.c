/* SPDX-License-Identifier: MIT */
/* config_thread.c - a thread with all signals blocked, and an eventfd that it writes last. */
#include "dispatcher/server/config_thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/reactor/quiet_thread.h"

#define STACK_BYTES (UINT64_C(1) << 20)

/* The thread's own until it has written to the eventfd. */
struct config_reading {
    const struct config_source *source;
    char *path; /* owned; NULL: the one that was said */
    pthread_t thread;
    int event_fd;
    int rc;
    struct config *config;
    char *complaints; /* owned */
    size_t complaints_bytes;
};

static void *reading_run(void *argument)
{
    struct config_reading *reading = argument;
    const struct config_source *source = reading->source;
    uint64_t one = 1;
    FILE *file = open_memstream(&reading->complaints, &reading->complaints_bytes);
    reading->rc =
        file ? source->read(source->owner, reading->path, &reading->config, file) : -ENOMEM;
    if (file && fclose(file) == EOF) {
        free(reading->complaints);
        reading->complaints = NULL;
    }
    ssize_t count = write(reading->event_fd, &one, sizeof one);
    (void)count; /* of an eventfd that nobody else writes */
    return NULL;
}

static void reading_free(struct config_reading *reading)
{
    if (reading)
        free(reading->path);
    free(reading);
}

int config_reading_begin(struct config_reading **out, const struct config_source *source,
                         const char *path, int event_fd)
{
    struct config_reading *reading = calloc(1, sizeof *reading);
    char *copy = path ? strdup(path) : NULL;
    int rc = reading && (copy || !path) ? 0 : -ENOMEM;
    if (rc == 0) {
        *reading = (struct config_reading){.source = source, .path = copy, .event_fd = event_fd};
        copy = NULL;
        rc = quiet_thread_start(&reading->thread, STACK_BYTES, reading_run, reading);
    }
    free(copy);
    if (rc == 0)
        *out = reading;
    else
        reading_free(reading);
    return rc;
}

int config_reading_end(struct config_reading *reading, struct config **out, char **complaints)
{
    pthread_join(reading->thread, NULL);
    int rc = reading->rc;
    *complaints = reading->complaints;
    if (rc == 0)
        *out = reading->config;
    reading_free(reading);
    return rc;
}

bool config_reading_wait(struct config_reading *reading, int timeout_ms)
{
    struct pollfd end = {.fd = reading->event_fd, .events = POLLIN};
    if (poll(&end, 1, timeout_ms) == 1)
        return true;
    pthread_detach(reading->thread);
    return false;
}
