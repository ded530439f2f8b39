/* SPDX-License-Identifier: MIT */
/* noise.c - counting, pausing, going on. */
#include "dispatcher/workers/noise.h"

#include "dispatcher/server/loop.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/worker_start.h"

bool noise_add(struct noise *noise, uint64_t now_ms, uint32_t cost)
{
    uint64_t window = now_ms / NOISE_WINDOW_MS;
    if (noise->window != window)
        *noise = (struct noise){.window = window};
    noise->used += cost < NOISE_MAX ? cost : NOISE_MAX;
    return noise->used > NOISE_MAX;
}

void noise_timer_set(struct loop *loop)
{
    uint64_t window = loop->reactor.now_ms / NOISE_WINDOW_MS;
    timer_set(&loop->reactor.timers, &loop->noise_timer, (window + 1) * NOISE_WINDOW_MS);
}

/* Once for each process. */
static void say(struct loop *loop, struct worker *worker)
{
    if (worker->is_noisy)
        return;
    worker->is_noisy = true;
    log_line(&loop->reactor.log, LEVEL_WARNING, "worker_noisy", "pipeline=%s worker=%u pid=%d",
             loop->pipelines[worker->pipeline_index].config->pointer, worker->number,
             (int)worker->pid);
}

void noise_of_worker(struct loop *loop, struct worker *worker, uint32_t cost)
{
    if (!noise_add(&worker->noise, loop->reactor.now_ms, cost) || worker->is_paused ||
        !worker_has_process(worker))
        return;
    worker->is_paused = true;
    loop->metrics.worker_pause_count++;
    worker_unwatch(loop, worker);
    noise_timer_set(loop);
    say(loop, worker);
}

void noise_on_timer(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->worker_count; i++) {
        struct worker *worker = &loop->workers[i];
        output_go_on(loop, worker);
        if (!worker->is_paused)
            continue;
        worker->is_paused = false;
        worker_rewatch(loop, worker);
    }
}
