/* SPDX-License-Identifier: MIT */
/* exchange.c - answers and their connections. */
#include "dispatcher/api/exchange.h"

#include "dispatcher/api/answer.h"
#include "dispatcher/api/api.h"
#include "dispatcher/reader/reading.h"

void api_conn_gone(struct api *api, struct conn *conn, bool is_stalled)
{
    struct answer *answer = conn->pending;
    if (!answer)
        return;
    answer_let_go(answer);
    if (!answer->run) {
        reading_drop(api->reading, &answer->job);
        answer_forget_pipeline(answer);
        answer_give(answer);
    } else if (is_stalled) {
        run_client_stalled(api->runs, answer->run);
    } else {
        run_client_gone(api->runs, answer->run);
    }
}

void api_conn_sent(struct api *api, struct conn *conn, uint64_t charge)
{
    const struct answer *answer = conn->pending;
    (void)api;
    if (answer && answer->run)
        run_delivered(answer->run, charge);
}

void api_conn_expired(struct api *api, struct conn *conn)
{
    struct answer *answer = conn->pending;
    if (answer && !answer->run)
        reading_expire(api->reading, &answer->job);
}
