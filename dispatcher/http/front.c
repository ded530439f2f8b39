/* SPDX-License-Identifier: MIT */
/* front.c - making and ending the front, and what is done to all its connections. */
#include "dispatcher/http/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/http/transport.h"

static void front_check_conn(const struct conn *conn);
static void front_check_lists(const struct front *front, uint32_t dirty_count);

int front_init(struct front *front, const struct front_options *options)
{
    const struct config *config = options->config;
    *front = (struct front){.config = config,
                            .reactor = options->reactor,
                            .input = options->input,
                            .ops = options->ops,
                            .owner = options->owner,
                            .conn_count_max = options->conn_count_max,
                            .index_base = options->index_base};
    front->accept_timer = (struct timer){.kind = TIMER_LISTENER, .owner = front};
    front->conns = calloc(front->conn_count_max, sizeof *front->conns);
    if (!front->conns || out_pool_init(&front->out, options->output_bytes_max) < 0 ||
        (config->conn_per_client_max > 0 &&
         clients_init(&front->clients, front->conn_count_max) < 0))
        return -ENOMEM;
    for (uint32_t i = front->conn_count_max; i-- > 0;) {
        struct conn *conn = &front->conns[i];
        *conn = (struct conn){.fd = -1,
                              .index = front->index_base + i,
                              .next = front->free,
                              .timer = {.kind = TIMER_CONN, .owner = conn}};
        front->free = conn;
    }
    int rc = timers_reserve(&front->reactor->timers, front->conn_count_max + 1);
    if (rc == 0)
        front->timer_count = front->conn_count_max + 1;
    return rc;
}

void front_finish(struct front *front)
{
    for (uint32_t i = 0; i < front->listener_count; i++)
        listener_close(&front->listeners[i]);
    for (uint32_t i = 0; front->conns && i < front->conn_count_max; i++) {
        struct conn *conn = &front->conns[i];
        timer_clear(&front->reactor->timers, &conn->timer);
        if (conn->fd >= 0)
            close(conn->fd);
        if (conn->transport_state)
            conn->transport->close(conn->transport_state);
        free(conn->input.data);
        body_finish(&conn->body);
    }
    if (front->timer_count > 0) {
        timer_clear(&front->reactor->timers, &front->accept_timer);
        timers_unreserve(&front->reactor->timers, front->timer_count);
    }
    front->timer_count = 0;
    clients_finish(&front->clients);
    out_pool_finish(&front->out);
    free(front->conns);
    front->conns = front->free = front->dirty = NULL;
}

int front_listen(struct front *front, char *reason, size_t reason_bytes)
{
    for (uint32_t i = 0; i < front->config->listen_count; i++) {
        int rc = listener_open(&front->listeners[i], front->config->listen[i], true, reason,
                               reason_bytes);
        if (rc < 0)
            return rc;
        front->listener_count++;
    }
    return 0;
}

/* One address may be there twice, with port 0. NULL: it is not listened on yet. */
static struct listener *front_listener_of(struct front *front, const char *address)
{
    for (uint32_t i = 0; i < front->listener_count; i++) {
        struct listener *listener = &front->listeners[i];
        if (listener->fd >= 0 && !listener->is_wanted && strcmp(listener->address, address) == 0)
            return listener;
    }
    return NULL;
}

static struct listener *front_listener_place(struct front *front)
{
    for (uint32_t i = 0; i < front->listener_count; i++)
        if (front->listeners[i].fd < 0)
            return &front->listeners[i];
    mr_assert(front->listener_count < LISTENER_COUNT_MAX);
    return &front->listeners[front->listener_count++];
}

void front_listen_on(struct front *front, int fd, const char *name)
{
    struct listener *listener = front_listener_place(front);
    *listener = (struct listener){
        .fd = fd, .generation = listener->generation + 1, .transport = &transport_plain};
    snprintf(listener->name, sizeof listener->name, "%s", name);
    listener_arm(front);
}

int front_listen_for(struct front *front, const struct config *next, char *reason,
                     size_t reason_bytes)
{
    int rc = 0;
    for (uint32_t i = 0; i < front->listener_count; i++)
        front->listeners[i].is_wanted = front->listeners[i].is_new = false;
    for (uint32_t i = 0; i < next->listen_count && rc == 0; i++) {
        struct listener *listener = front_listener_of(front, next->listen[i]);
        if (!listener) {
            listener = front_listener_place(front);
            listener->fd = -1; /* also where it cannot be opened */
            rc = listener_open(listener, next->listen[i], false, reason, reason_bytes);
            listener->is_new = rc == 0;
        }
        listener->is_wanted = rc == 0;
    }
    for (uint32_t i = 0; i < front->listener_count && rc < 0; i++)
        if (front->listeners[i].is_new)
            listener_close(&front->listeners[i]);
    return rc;
}

/* Who asked when another page was let read, is answered as it would be now. */
static uint32_t front_page_of(const struct cors *next, const struct cors *now, uint32_t page)
{
    for (uint32_t i = 1; i <= next->count && page > 0; i++)
        if (strcmp(cors_lines(next, i), cors_lines(now, page)) == 0)
            return i;
    return 0;
}

void front_follow(struct front *front, const struct config *next)
{
    const struct config *now = front->config;
    struct log *log = &front->reactor->log;
    for (uint32_t i = 0; i < front->listener_count; i++) {
        struct listener *listener = &front->listeners[i];
        if (listener->fd < 0)
            continue;
        if (listener->is_new)
            log_event(log, LEVEL_INFO, "listening", LOG_WORD("address", listener->name));
        if (listener->is_wanted)
            continue;
        log_event(log, LEVEL_INFO, "listening_ended", LOG_WORD("address", listener->name));
        listener_end(front, i);
    }
    for (uint32_t i = 0; i < front->opened_count; i++) {
        struct request *request = &front->conns[i].request;
        request->page = front_page_of(&next->cors, &now->cors, request->page);
        if (request->token)
            request->token = next->tokens.entries[request->token_index].name;
    }
    front->config = next;
    if (!front->is_draining)
        listener_arm(front);
}

void front_drain(struct front *front)
{
    front->is_draining = true;
    listener_disarm(front);
    for (uint32_t i = 0; i < front->opened_count; i++) {
        struct conn *conn = &front->conns[i];
        if (conn->state == CONN_IDLE || conn->state == CONN_HEAD)
            conn_event(front, conn, CONN_EV_LEFT);
    }
}

bool front_is_answering(const struct front *front)
{
    for (uint32_t i = 0; front->conn_count > 0 && i < front->opened_count; i++) {
        const struct conn *conn = &front->conns[i];
        if (conn->state == CONN_HEAD || conn->state == CONN_BODY || conn_is_answered(conn) ||
            conn->state == CONN_DOOMED)
            return true;
    }
    return false;
}

uint32_t front_flush(struct front *front)
{
    uint32_t count = 0;
    while (front->dirty) {
        struct conn *conn = front->dirty;
        front->dirty = conn->next;
        conn_flush(front, conn);
        count++;
    }
    return count;
}

struct conn *front_conn(struct front *front, struct uring_ref ref)
{
    uint32_t at = ref.index - front->index_base;
    mr_assert(at < front->conn_count_max);
    struct conn *conn = &front->conns[at];
    return conn->generation == ref.generation && conn->state != CONN_FREE ? conn : NULL;
}

void front_count_refusal(struct front *front, enum request_refusal refusal)
{
    front->counts.refusals[refusal]++;
}

/* ---- what must hold ------------------------------------------------------------------------- */

void front_check(const struct front *front)
{
    uint32_t count = 0, dirty_count = 0;
    uint64_t input = 0, stranger_input = 0, stranger_output = 0;
    for (uint32_t i = 0; i < front->conn_count_max; i++) {
        const struct conn *conn = &front->conns[i];
        front_check_conn(conn);
        count += conn->state != CONN_FREE;
        mr_assert(conn->state == CONN_FREE || i < front->opened_count);
        dirty_count += conn->is_dirty;
        input += conn->input.room + conn->body.kept.room;
        stranger_input += conn->stranger_input_bytes;
        stranger_output += conn->stranger_output_bytes;
    }
    mr_assert(count == front->conn_count);
    mr_assert(input <= front->input->bytes);
    mr_assert(stranger_input == front->stranger_input_bytes);
    mr_assert(stranger_output == front->stranger_output_bytes);
    front_check_lists(front, dirty_count);
}

static void front_check_conn(const struct conn *conn)
{
    if (conn->state == CONN_FREE) {
        mr_assert(conn->fd == -1);
        mr_assert(conn->kernel == 0);
        mr_assert(!conn->is_dirty);
        mr_assert(conn->timer.position == 0);
        mr_assert(!conn->pending && !conn->transport_state);
        mr_assert(out_is_empty(&conn->out));
        mr_assert(conn->input.room == 0 && conn->body.kept.room == 0);
        mr_assert(conn->stranger_input_bytes == 0 && conn->stranger_output_bytes == 0);
    } else {
        mr_assert(conn->fd >= 0);
        mr_assert(conn->input.bytes <= conn->input.room);
        mr_assert(conn->body.kept.bytes <= conn->body.kept.room);
        mr_assert(!conn->pending || conn->state == CONN_BODY || conn->state == CONN_RESPONDING);
        mr_assert(conn->state != CONN_DOOMED); /* closed at the end of the pass */
        mr_assert(conn->pending || conn->due_ms == 0);
    }
}

static void front_check_lists(const struct front *front, uint32_t dirty_count)
{
    uint32_t free_count = 0;
    for (const struct conn *conn = front->free; conn; conn = conn->next) {
        mr_assert(conn->state == CONN_FREE);
        mr_assert(free_count++ < front->conn_count_max);
    }
    mr_assert(free_count + front->conn_count == front->conn_count_max);
    for (const struct conn *conn = front->dirty; conn; conn = conn->next) {
        mr_assert(conn->is_dirty);
        mr_assert(dirty_count-- > 0);
    }
    mr_assert(dirty_count == 0);
}
