/* SPDX-License-Identifier: MIT */
/* answer.c - the pool of answers. */
#include "dispatcher/api/answer.h"

#include <stdio.h>
#include <stdlib.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/formats/format.h"
#include "dispatcher/http/response.h"
#include "dispatcher/runs/pipeline.h"

#define ANSWER_SLAB_COUNT 64u

struct answer_slab {
    struct answer_slab *next;
    struct answer items[ANSWER_SLAB_COUNT];
};

static struct answer *answer_new(struct api *api);

struct answer *answer_take(struct api *api, struct conn *conn, const struct format *format)
{
    struct answer *answer = answer_new(api);
    if (!answer)
        return NULL;
    mr_assert(!conn->pending);
    api->free_answer = answer->next;
    api->answer_count++;
    *answer = (struct answer){.sink.ops = format->sink, .api = api, .conn = conn, .format = format};
    if (conn->request.base_number > 0)
        snprintf(answer->base, sizeof answer->base, "%s",
                 bases_text(&api->bases, conn->request.base_number));
    conn->pending = answer;
    return answer;
}

void answer_forget_pipeline(struct answer *answer)
{
    if (answer->pipeline) {
        answer->pipeline->user_count--;
        answer->pipeline->coming_count--;
    }
    answer->pipeline = NULL;
}

void answer_let_go(struct answer *answer)
{
    if (answer->conn) {
        answer->status = answer->conn->request.status;
        conn_detach(answer->conn);
    }
    answer->conn = NULL;
}

int answer_give(struct answer *answer)
{
    struct api *api = answer->api;
    answer_let_go(answer);
    mr_assert(!answer->collected);
    mr_assert(!answer->pipeline);
    free(answer->callback_url);
    answer->callback_url = NULL;
    if (answer->alias)
        alias_let_go(&api->runs->aliases, answer->alias);
    answer->alias = NULL;
    answer->next = api->free_answer;
    api->free_answer = answer;
    mr_assert(api->answer_count > 0);
    api->answer_count--;
    return answer->status;
}

void answer_failure(struct answer *answer, const struct run_failure *failure,
                    const char *content_type, const char *headers, struct text *body)
{
    struct front *front = answer->api->front;
    if (body->failed)
        response_detail(front, answer->conn, 503, "Out of memory.");
    else
        response_send(front, answer->conn,
                      &(struct response){.status = failure->status,
                                         .content_type = content_type,
                                         .headers = headers,
                                         .body = body->bytes,
                                         .body_bytes = body->count,
                                         .retry_after_s = failure->retry_after_s});
    text_finish(body);
}

bool answer_is_heard(const struct answer *answer)
{
    return answer->conn && answer->conn->state == CONN_RESPONDING;
}

void answers_finish(struct api *api)
{
    while (api->answer_slabs) {
        struct answer_slab *slab = api->answer_slabs;
        api->answer_slabs = slab->next;
        for (uint32_t i = 0; i < ANSWER_SLAB_COUNT; i++)
            body_finish(&slab->items[i].job.body);
        free(slab);
    }
    api->free_answer = NULL;
}

static struct answer *answer_new(struct api *api)
{
    if (api->free_answer)
        return api->free_answer;
    struct answer_slab *slab = calloc(1, sizeof *slab);
    if (!slab)
        return NULL;
    slab->next = api->answer_slabs;
    api->answer_slabs = slab;
    for (uint32_t i = ANSWER_SLAB_COUNT; i-- > 0;) {
        slab->items[i].next = api->free_answer;
        api->free_answer = &slab->items[i];
    }
    return api->free_answer;
}
