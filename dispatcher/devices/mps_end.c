/* SPDX-License-Identifier: MIT */
/* mps_end.c - the process that asks MPS is started, heard and ended. */
#include "dispatcher/devices/mps_end.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/devices/scanner.h"

static const char *const names[MPS_RESULT_COUNT] = {
    [MPS_ENDED] = "ended",
    [MPS_NO_CLIENT] = "no_client",
    [MPS_NO_CONTROL] = "no_control",
    [MPS_TIMEOUT] = "timeout",
};

const char *mps_result_name(enum mps_result result)
{
    mr_assert(result < MPS_RESULT_COUNT);
    return names[result];
}

void mps_end_init(struct mps_end *end)
{
    *end = (struct mps_end){.due_ms = 0};
    servant_init(&end->servant);
}

int mps_end_begin(struct mps_end *end, pid_t pid, const char *folder, uint64_t now_ms)
{
    struct mps_request request = {.pid = pid};
    mr_assert(!mps_end_is_under_way(end));
    if (end->servant.state == SERVANT_ENDING && !servant_is_gone(&end->servant))
        return -EBUSY;
    snprintf(request.folder, sizeof request.folder, "%s", folder);
    int rc = servant_open(&end->servant, SCANNER_NAME, SCAN_MPS_WORD);
    if (rc < 0)
        return rc;
    rc = servant_ask(&end->servant, &request, sizeof request, NULL, 0, -1);
    if (rc < 0)
        mps_end_stop(end);
    else
        end->due_ms = now_ms + MPS_END_MS_MAX;
    return rc;
}

bool mps_end_look(struct mps_end *end, uint64_t now_ms, enum mps_result *out)
{
    uint32_t said;
    mr_assert(mps_end_is_under_way(end));
    int rc = servant_hear(&end->servant, &said, sizeof said);
    if (rc == 0 && now_ms < end->due_ms)
        return false;
    *out = rc == 1 && said < MPS_RESULT_COUNT ? (enum mps_result)said : MPS_NO_CONTROL;
    if (rc == 0)
        *out = MPS_TIMEOUT;
    mps_end_stop(end);
    return true;
}

/* One that cannot end yet is looked at when it is asked for the next time. */
void mps_end_stop(struct mps_end *end)
{
    end->due_ms = 0;
    if (end->servant.state == SERVANT_RUNNING)
        servant_kill(&end->servant);
    bool is_gone = end->servant.state == SERVANT_ENDING && servant_is_gone(&end->servant);
    (void)is_gone;
}
