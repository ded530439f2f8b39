/* SPDX-License-Identifier: MIT */
/*
 * server.c - N lines with libmicrohttpd, filling its buffers until a line has to be waited for, or
 * a line in each.
 *
 *     server PORT      on 127.0.0.1
 *
 * A connection that must wait is suspended and resumed by one thread that keeps all due times in a
 * heap. The request is JSON, read by cJSON.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <microhttpd.h>

#define STREAM_COUNT_MAX 4096u
#define BODY_BYTES_MAX 4096u
#define TEXT_BYTES_MAX 256
#define BLOCK_BYTES (16u * 1024)
#define CONN_MEMORY_BYTES (BLOCK_BYTES + 8 * 1024)
#define DIGITS_MAX 20u
#define FIXED_BYTES_MAX 64u /* two numbers, their keys, quotes */
#define ESCAPE_BYTES_MAX 6u
#define THREAD_COUNT 2u

struct stream {
    uint64_t next, count, start_ns, pace_ns;
    bool is_each;                /* each line for itself */
    bool is_result;              /* the bytes of millrace's line, the text encoded once */
    char *before, *text, *after; /* owned */
    size_t before_bytes, text_bytes, after_bytes;
    size_t line_bytes_max;
    size_t body_count;
    char body[BODY_BYTES_MAX];
};

static const char time_key[] = ",\"t_ns\":";
static const char text_key[] = ",\"chunk\":";

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- waiting --------------------------------------------------------------------------------- */

struct due {
    uint64_t at_ns;
    struct MHD_Connection *connection;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t earlier; /* the first one has changed */
    size_t count;
    struct due heap[STREAM_COUNT_MAX];
} waiting = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void heap_swap(size_t i, size_t j)
{
    struct due kept = waiting.heap[i];
    waiting.heap[i] = waiting.heap[j];
    waiting.heap[j] = kept;
}

static void wait_until(struct MHD_Connection *connection, uint64_t at_ns)
{
    pthread_mutex_lock(&waiting.mutex);
    size_t i = waiting.count++;
    waiting.heap[i] = (struct due){at_ns, connection};
    for (; i > 0 && waiting.heap[i].at_ns < waiting.heap[(i - 1) / 2].at_ns; i = (i - 1) / 2)
        heap_swap(i, (i - 1) / 2);
    if (i == 0)
        pthread_cond_signal(&waiting.earlier);
    pthread_mutex_unlock(&waiting.mutex);
}

static struct MHD_Connection *heap_take_first(void)
{
    struct MHD_Connection *first = waiting.heap[0].connection;
    waiting.heap[0] = waiting.heap[--waiting.count];
    for (size_t i = 0, child; (child = 2 * i + 1) < waiting.count; i = child) {
        if (child + 1 < waiting.count && waiting.heap[child + 1].at_ns < waiting.heap[child].at_ns)
            child++;
        if (waiting.heap[i].at_ns <= waiting.heap[child].at_ns)
            break;
        heap_swap(i, child);
    }
    return first;
}

static void *resume_when_due(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&waiting.mutex);
    for (;;) {
        if (waiting.count == 0) {
            pthread_cond_wait(&waiting.earlier, &waiting.mutex);
            continue;
        }
        uint64_t at_ns = waiting.heap[0].at_ns;
        if (at_ns <= now_ns()) {
            MHD_resume_connection(heap_take_first());
            continue;
        }
        struct timespec until = {(time_t)(at_ns / 1000000000u), (long)(at_ns % 1000000000u)};
        pthread_cond_timedwait(&waiting.earlier, &waiting.mutex, &until);
    }
    return NULL;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static char *put(char *out, const char *bytes, size_t count)
{
    memcpy(out, bytes, count);
    return out + count;
}

static char *put_number(char *out, uint64_t number)
{
    char digits[DIGITS_MAX];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(out, digits + at, sizeof(digits) - at);
}

/* A string as JSON; what has no place in it is escaped. */
static char *put_string(char *out, const char *text)
{
    *out++ = '"';
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20) {
            out += snprintf(out, ESCAPE_BYTES_MAX + 1, "\\u%04x", byte);
            continue;
        }
        if (byte == '"' || byte == '\\')
            *out++ = '\\';
        *out++ = (char)byte;
    }
    *out++ = '"';
    return out;
}

static char *put_line(char *out, struct stream *stream, uint64_t time_ns)
{
    out = put(out, stream->before, stream->before_bytes);
    out = put_number(out, stream->next++);
    out = put(out, time_key, sizeof(time_key) - 1);
    out = put_number(out, time_ns);
    out = put(out, text_key, sizeof(text_key) - 1);
    out = stream->is_result ? put(out, stream->text, stream->text_bytes)
                            : put_string(out, stream->text);
    return put(out, stream->after, stream->after_bytes);
}

static ssize_t lines_fill(void *state, uint64_t position, char *out, size_t room)
{
    struct stream *stream = ((void **)state)[0];
    struct MHD_Connection *connection = ((void **)state)[1];
    char *at = out;
    (void)position;
    if (stream->next == stream->count)
        return MHD_CONTENT_READER_END_OF_STREAM;
    while (stream->next < stream->count && (size_t)(out + room - at) >= stream->line_bytes_max) {
        uint64_t time_ns = now_ns();
        if (stream->pace_ns > 0) {
            uint64_t due_ns = stream->start_ns + (stream->next + 1) * stream->pace_ns;
            if (due_ns > time_ns && at == out) {
                MHD_suspend_connection(connection);
                wait_until(connection, due_ns);
                return 0;
            }
            if (due_ns > time_ns)
                break;
        }
        at = put_line(at, stream, time_ns);
        if (stream->is_each)
            break;
    }
    return at - out;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* As it is, or encoded already. */
static char *text_make(size_t count, bool is_encoded)
{
    char *text = malloc(count + 3), *end = text;
    if (!text)
        return NULL;
    if (is_encoded)
        *end++ = '"';
    memset(end, 'x', count);
    end += count;
    if (is_encoded)
        *end++ = '"';
    *end = '\0';
    return text;
}

static bool lines_plan(struct stream *stream, double text_bytes)
{
    bool is_result = stream->is_result;
    if (text_bytes < 0 || text_bytes > TEXT_BYTES_MAX)
        return false;
    stream->text = text_make((size_t)text_bytes, is_result);
    if (!stream->text ||
        asprintf(&stream->before, "%s{\"i\":", is_result ? getenv("LINE_BEFORE") : "") == -1 ||
        asprintf(&stream->after, "}%s\n", is_result ? getenv("LINE_AFTER") : "") == -1)
        return false;
    stream->before_bytes = strlen(stream->before);
    stream->text_bytes = strlen(stream->text);
    stream->after_bytes = strlen(stream->after);
    stream->line_bytes_max = stream->before_bytes + ESCAPE_BYTES_MAX * stream->text_bytes +
                             stream->after_bytes + FIXED_BYTES_MAX;
    return stream->line_bytes_max < BODY_BYTES_MAX;
}

static bool stream_begin(struct stream *stream, const char *url)
{
    cJSON *request = cJSON_ParseWithLength(stream->body, stream->body_count);
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(request, "inputs");
    const cJSON *values[3] = {NULL};
    bool is_good = cJSON_GetArraySize(inputs) == 3;
    for (int i = 0; i < 3 && is_good; i++)
        values[i] = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(inputs, i), "value");
    is_good = is_good && cJSON_IsNumber(values[0]) && cJSON_IsNumber(values[1]) &&
              cJSON_IsNumber(values[2]);
    if (is_good) {
        stream->count = (uint64_t)values[0]->valuedouble;
        stream->pace_ns = (uint64_t)values[2]->valuedouble * 1000000u;
        stream->start_ns = now_ns();
        stream->is_each = strcmp(url, "/each") == 0;
        stream->is_result = strcmp(url, "/results") == 0;
        is_good = lines_plan(stream, values[1]->valuedouble);
    }
    cJSON_Delete(request);
    return is_good;
}

static enum MHD_Result lines_answer(struct MHD_Connection *connection, struct stream *stream)
{
    struct MHD_Response *response;
    if (stream->count == 1 && stream->pace_ns == 0) {
        char line[BODY_BYTES_MAX];
        void *state[2] = {stream, connection};
        ssize_t bytes = lines_fill(state, 0, line, sizeof(line));
        response = MHD_create_response_from_buffer((size_t)bytes, line, MHD_RESPMEM_MUST_COPY);
    } else {
        void **state = malloc(2 * sizeof(*state));
        if (!state)
            return MHD_NO;
        state[0] = stream;
        state[1] = connection;
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, lines_fill,
                                                     state, free);
    }
    MHD_add_response_header(response, "Content-Type", "application/x-ndjson");
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *unused, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_count, void **state)
{
    struct stream *stream = *state;
    (void)unused;
    (void)version;
    if (!stream) {
        *state = calloc(1, sizeof(struct stream));
        return *state && strcmp(method, "POST") == 0 ? MHD_YES : MHD_NO;
    }
    if (*upload_count > 0) {
        if (*upload_count > sizeof(stream->body) - stream->body_count)
            return MHD_NO;
        memcpy(stream->body + stream->body_count, upload, *upload_count);
        stream->body_count += *upload_count;
        *upload_count = 0;
        return MHD_YES;
    }
    return stream_begin(stream, url) ? lines_answer(connection, stream) : MHD_NO;
}

static void on_completed(void *unused, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct stream *stream = *state;
    (void)unused;
    (void)connection;
    (void)code;
    if (!stream)
        return;
    free(stream->before);
    free(stream->text);
    free(stream->after);
    free(stream);
    *state = NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port =
                                      htons((uint16_t)(argc > 1 ? strtol(argv[1], NULL, 10) : 0)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pthread_condattr_t monotonic;
    pthread_t timer;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&waiting.earlier, &monotonic);
    if (pthread_create(&timer, NULL, resume_when_due, NULL) != 0)
        return 1;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_THREAD_POOL_SIZE, THREAD_COUNT,
        MHD_OPTION_CONNECTION_LIMIT, STREAM_COUNT_MAX, MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONN_MEMORY_BYTES, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "cannot listen on port %s\n", argc > 1 ? argv[1] : "");
        return 1;
    }
    for (;;)
        pause();
}
