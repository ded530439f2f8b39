/* SPDX-License-Identifier: MIT */
/*
 * progress.c - pipelines that take long to start and say how far they are, for system tests.
 *
 *   ticking    says so every 0.2 s, TICKS times, then is ready
 *   stalling   stops after the third time
 *   paced      says 62 % again and again until the file "go" lies in TMPDIR
 *   wordy      says much before it is loaded
 *   halves     worker 0 is ready at once, the others wait for "go"
 *   flood      says so without end, past what paces it, until "go"
 *   garbage    says what nobody can read
 *   late       says so in a run
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <millrace/pipeline.h>
#include <millrace/protocol.h>

#define TICK_MS 200

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static bool may_go(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/go", getenv("TMPDIR"));
    return access(path, F_OK) == 0;
}

static int answer(struct mr_call *call)
{
    return mr_value_stringf(mr_return(call), "started");
}

static int tick(struct mr_call *call)
{
    int count = (int)strtol(getenv("TICKS"), NULL, 10);
    (void)call;
    for (int i = 0; i < count; i++) {
        mr_startup_progress((double)i / count, "loading");
        sleep_ms(TICK_MS);
    }
    return 0;
}

MR_PIPELINE(ticking)
{
    mr_on_startup(builder, tick);
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}

static int stall(struct mr_call *call)
{
    (void)call;
    for (int i = 0; i < 3; i++) {
        sleep_ms(TICK_MS);
        mr_startup_progress(0.62, "loading shard 5 of 8");
    }
    fprintf(stderr, "the last tick\n");
    pause();
    return 0;
}

MR_PIPELINE(stalling)
{
    mr_on_startup(builder, stall);
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}

static int pace(struct mr_call *call)
{
    (void)call;
    while (!may_go()) {
        mr_startup_progress(0.62, "loading shard 5 of 8");
        sleep_ms(20);
    }
    return 0;
}

MR_PIPELINE(paced)
{
    mr_on_startup(builder, pace);
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}

MR_PIPELINE(wordy)
{
    for (int i = 0; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "part %d", i);
        mr_startup_progress(-1, text);
    }
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}

static int halve(struct mr_call *call)
{
    return strcmp(getenv("MILLRACE_WORKER_INDEX"), "0") == 0 ? 0 : pace(call);
}

MR_PIPELINE(halves)
{
    mr_on_startup(builder, halve);
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}

static void say(uint32_t permille, const char *text, size_t text_bytes)
{
    const struct message_progress head = {.permille = permille};
    const struct message header = {.magic = MESSAGE_MAGIC,
                                   .version = PROTOCOL_VERSION,
                                   .kind = MESSAGE_PROGRESS,
                                   .bytes = (uint32_t)(sizeof head + text_bytes)};
    char packet[sizeof header + sizeof head + 256];
    memcpy(packet, &header, sizeof header);
    memcpy(packet + sizeof header, &head, sizeof head);
    memcpy(packet + sizeof header + sizeof head, text, text_bytes);
    send(WORKER_FD_SOCKET, packet, sizeof header + sizeof head + text_bytes, MSG_NOSIGNAL);
}

static int flood(struct mr_call *call)
{
    (void)call;
    for (uint32_t i = 0; !may_go(); i++)
        for (uint32_t k = 0; k < 1000; k++)
            say(k, "\xff\x1b[2J\n\xe2\x82", 8);
    return 0;
}

MR_PIPELINE(flood)
{
    mr_on_startup(builder, flood);
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}

static int lie(struct mr_call *call)
{
    (void)call;
    say(4711, "", 0);
    pause();
    return 0;
}

MR_PIPELINE(garbage)
{
    mr_on_startup(builder, lie);
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}

static int say_late(struct mr_call *call)
{
    mr_startup_progress(0.5, "which is not sent");
    say(500, "late", 4);
    sleep_ms(60000);
    return answer(call);
}

MR_PIPELINE(late)
{
    mr_output(builder, mr_pipe(builder, say_late, MR_STRING));
}
