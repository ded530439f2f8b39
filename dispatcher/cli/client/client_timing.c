/* SPDX-License-Identifier: MIT */
/* client_timing.c - a run is looked up after its answer, in the server's history. */
#include "dispatcher/cli/client/client_timing.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "dispatcher/cli/client/client.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/text/json_view.h"
#include "dispatcher/text/text.h"

#define RUN_BYTES_MAX (4u * 1024 * 1024)
#define NAME_COLUMNS 13

static bool timing_get(struct client *client, const char *command, const char *run_id,
                       struct text *answer);
static void timing_print(const struct json_view *run, const char *run_id, FILE *out);

void client_timing_print(struct client *client, const char *command, const char *run_id, FILE *out)
{
    struct text answer = {0};
    struct json_view run;
    struct json_error error;
    if (run_id[0] == '\0') {
        cli_fail("%s: no times: no line came that names the run", command);
        return;
    }
    if (timing_get(client, command, run_id, &answer)) {
        if (json_view_parse(&run, answer.bytes ? answer.bytes : "", answer.count, &error) < 0)
            cli_fail("%s: no times: what the server says of the run is not JSON: %s", command,
                     error.message);
        else
            timing_print(&run, run_id, out);
    }
    text_finish(&answer);
}

static bool on_run(void *context, long status, const char *bytes, size_t count)
{
    (void)status;
    struct text *text = context;
    text_add_bytes(text, bytes, count);
    return !text->failed && text->count <= RUN_BYTES_MAX;
}

static bool timing_get(struct client *client, const char *command, const char *run_id,
                       struct text *answer)
{
    char path[64], reason[CLIENT_REASON_BYTES];
    struct client_answer end;
    snprintf(path, sizeof path, "/v4/runs/%s", run_id);
    int rc = client_request(client, path, NULL, 0, on_run, answer, &end, reason);
    if (rc == -ECANCELED)
        cli_fail("%s: no times: what the server says of the run is too long", command);
    else if (rc < 0)
        cli_fail("%s: no times: %s", command, reason);
    else if (end.status != 200)
        cli_fail("%s: no times: the server answered with status %ld", command, end.status);
    return rc == 0 && end.status == 200;
}

/* NAN: there is none. */
static double timing_number(const struct json_view *object, const char *key)
{
    struct json_view value;
    double number;
    if (!json_view_member(object, key, &value) || !json_view_number(&value, &number))
        return NAN;
    return number;
}

static void timing_name(const char *name, FILE *out)
{
    fprintf(out, "%-*s", NAME_COLUMNS, name);
}

static void timing_moment(const char *name, double unix_s, FILE *out)
{
    char date[32];
    struct tm parts;
    double whole_s = floor(unix_s);
    time_t second = (time_t)whole_s;
    timing_name(name, out);
    if (!(fabs(unix_s) < 1e11) || !gmtime_r(&second, &parts)) {
        fputs("not known\n", out);
        return;
    }
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    fprintf(out, "%s.%03dZ\n", date, (int)((unix_s - whole_s) * 1000));
}

static void timing_after(const char *name, double from_s, double unix_s, const char *otherwise,
                         FILE *out)
{
    timing_name(name, out);
    if (isnan(unix_s) || isnan(from_s))
        fprintf(out, "%s\n", otherwise);
    else
        fprintf(out, "after %.3f s\n", unix_s - from_s);
}

static void timing_count(const char *name, double count, const char *otherwise, FILE *out)
{
    timing_name(name, out);
    if (isnan(count))
        fprintf(out, "%s\n", otherwise);
    else
        fprintf(out, "%.0f\n", count);
}

static void timing_print(const struct json_view *run, const char *run_id, FILE *out)
{
    struct json_view times = json_view_get(run, "times");
    double queued_s = timing_number(&times, "queued");
    double ended_s = timing_number(&times, "ended");
    const char *otherwise = isnan(ended_s) ? "not yet" : "never";
    timing_name("run", out);
    fprintf(out, "%s\n", run_id);
    timing_moment("queued", queued_s, out);
    timing_after("started", queued_s, timing_number(&times, "started"), otherwise, out);
    timing_after("first chunk", queued_s, timing_number(&times, "first_chunk"), otherwise, out);
    timing_after("ended", queued_s, ended_s, otherwise, out);
    timing_count("worker", timing_number(run, "worker"), "none", out);
    timing_count("attempt", timing_number(run, "attempt"), "none", out);
}
