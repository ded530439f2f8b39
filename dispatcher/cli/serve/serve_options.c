/* SPDX-License-Identifier: MIT */
/* serve_options.c - the table of all that can be said of a server and its pipelines. */
#include "dispatcher/cli/serve/serve_options.h"

#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/control_path.h"
#include "dispatcher/config/device_choice.h"
#include "dispatcher/config/devices_said.h"
#include "dispatcher/config/environment_said.h"
#include "dispatcher/config/fetch_rule.h"
#include "dispatcher/config/host_name.h"
#include "dispatcher/config/preload.h"
#include "dispatcher/config/rank_source.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/config/token_class.h"
#include "dispatcher/inputs/warm_up_inputs.h"

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS UINT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define CONN_COUNT_MAX 1000000u
#define LOG_RUNS_N_MAX 1000000u

/* In the order of enum log_level. */
static const char *const log_levels[] = {"debug", "info", "warning", "error", NULL};
_Static_assert(ARRAY_COUNT(log_levels) == LEVEL_COUNT + 1, "one word a level");

/* In the order of enum log_format. */
static const char *const log_formats[] = {"text", "json", "logfmt", NULL};
_Static_assert(ARRAY_COUNT(log_formats) == LOG_FORMAT_COUNT + 1, "one word a format");

static const char *const error_statuses[] = {"200", "500", NULL};

/* In the order of enum metrics_access. */
static const char *const metrics_accesses[] = {"open", "token", "off", NULL};
_Static_assert(ARRAY_COUNT(metrics_accesses) == METRICS_ACCESS_COUNT + 1, "one word each");

/* In the order of enum tracebacks. */
static const char *const tracebacks_words[] = {"log", "client", "off", NULL};
_Static_assert(ARRAY_COUNT(tracebacks_words) == TRACEBACKS_COUNT + 1, "one word each");

/* In the order of enum device_policy. */
static const char *const device_policies[] = {"keep", "recycle", "probe", "quarantine", NULL};
_Static_assert(ARRAY_COUNT(device_policies) == DEVICE_POLICY_COUNT + 1, "one word each");

/* In the order of enum schedule. */
static const char *const schedule_words[] = {"fifo", "fair", NULL};
_Static_assert(ARRAY_COUNT(schedule_words) == SCHEDULE_COUNT + 1, "one word each");

#define MEMBER(member) CLI_MEMBER(struct serve_values, member)
#define EACH(member) CLI_MEMBER(struct pipeline_config, member), .by_pipeline = true

static int serve_say(void *values, const struct cli_option *option, const char *text,
                     char reason[CLI_REASON_BYTES]);
static int serve_host_check(const char *text, char reason[CLI_REASON_BYTES]);
static int serve_origin_check(const char *text, char reason[CLI_REASON_BYTES]);
static int serve_log_runs_check(const char *text, char reason[CLI_REASON_BYTES]);
static int serve_warm_up_check(const char *text, char reason[CLI_REASON_BYTES]);
static int serve_port_check(const char *text, char reason[CLI_REASON_BYTES]);

/* clang-format off: a table */
static const struct cli_option options[] = {
    {"config", "FILE", CLI_TEXT, MEMBER(config_path), .letter = 'c', .is_of_command_line = true,
     .help = "what this file says too, in YAML: millrace config reference lists its keys; the "
             "command line goes before it"},
    {"listen", "ADDR:PORT", CLI_LIST, MEMBER(listen), .max = LISTEN_COUNT_MAX,
     .check = config_listen_check,
     .help =
         "listen here (default " LISTEN_DEFAULT "); port 0 takes a free one, which the ready line "
         "names; can be given several times"},
    {"token-file", "FILE", CLI_TEXT, MEMBER(token_file), .path = CLI_PATH,
     .help = "who may call: NAME:SHA256 a line, made by millrace token"},
    {"tokens-share", NULL, CLI_FLAG, MEMBER(config.tokens_share),
     .help = "each token sees, lists and cancels the runs of all; if not said, only its own"},
    {"token-class", "NAME=CLASS", CLI_LIST, MEMBER(config.token_classes), .max = CLI_LIST_COUNT_MAX,
     .check = token_class_check,
     .help =
         "the class of a token's runs, and the best that they may ask for, where a pipeline has "
         "--schedule fair: interactive (if not said), batch, or 0, which goes first, to 9; * "
         "for all others, also those without tokens, who cannot ask if that is not said"},
    {"no-auth", NULL, CLI_FLAG, MEMBER(config.no_auth),
     .help = "let everyone call who can connect, from other machines too"},
    {"allow-host", "NAME", CLI_LIST, MEMBER(config.allow_hosts), .max = CLI_LIST_COUNT_MAX,
     .check = serve_host_check,
     .help = "without tokens: requests may name this host, too, not only addresses and localhost"},
    {"allow-origin", "ORIGIN", CLI_LIST, MEMBER(config.allow_origins), .max = CLI_LIST_COUNT_MAX,
     .check = serve_origin_check,
     .help = "without tokens: web pages from there may send requests, like https://box.example"},
    {"cors-origin", "ORIGIN", CLI_LIST, MEMBER(config.cors_origins), .max = CORS_ORIGIN_COUNT_MAX,
     .check = cors_origin_check,
     .help = "web pages from there may call and read answers, like https://app.example; * for all, "
             "with tokens"},
    {"metrics", "WHO", CLI_CHOICE, MEMBER(metrics), .choices = metrics_accesses,
     .help = "who may GET /metrics: open for all who can connect, token, or off for nobody"},
    {"workers", NULL, CLI_RANGE, EACH(options.workers), .min = 0, .max = WORKER_COUNT_MAX,
     .help = "worker processes; of 1-8, one, and more while runs wait; of 0-8, none until somebody "
             "asks"},
    {"ready-workers", NULL, CLI_NUMBER, EACH(options.ready_count_min), .min = 1,
     .max = WORKER_COUNT_MAX,
     .help = "/readyz says 503 until so many workers serve, or all that are wanted now"},
    {"worker-idle-timeout", NULL, CLI_DURATION, EACH(options.worker_idle_ms), .min = 0,
     .max = DAY_MS, .key = "idle-timeout",
     .help = "a worker above the least number goes when it was not needed for so long, 0 for "
             "never"},
    {"devices", "WHICH", CLI_LIST, .by_pipeline = true, .check = device_choice_check,
     .help = "what workers are bound to, one each: auto for the GPUs that are found, a kind (cuda, "
             "hip, "
             "vulkan, cpu), indexes or UUIDs of them, or so many, like vulkan:x4, or cpu:core; "
             "none hides all GPUs; without --workers there are as many workers as devices"},
    {"workers-per-device", NULL, CLI_NUMBER, EACH(options.workers_per_device), .min = 1,
     .max = WORKER_COUNT_MAX, .help = "workers that one device is given to at once"},
    {"device-unbound", NULL, CLI_FLAG, EACH(options.device_unbound),
     .help = "workers are not bound to the cores and the memory near their device"},
    {"device-env", "NAME=TEXT", CLI_LIST, .by_pipeline = true, .check = device_environment_check,
     .help = "a variable for workers, in whose text {index}, {uuid}, {kind}, {pci}, {cores} and "
             "{numa} are those of their device"},
    {"device-memory", "SIZE", CLI_TEXT, EACH(device_memory), .check = device_memory_check,
     .help = "memory that each worker needs of its device, which is kept for it: models that are "
             "asked for take turns where there is not enough for all; auto to measure it"},
    {"device-hold", NULL, CLI_DURATION, EACH(options.device_hold_ms), .min = 0, .max = DAY_MS,
     .help = "one that was loaded is not unloaded for another one for so long, nor for as long as "
             "its own start took"},
    {"concurrency", NULL, CLI_NUMBER, EACH(options.concurrency), .min = 1, .max = SLOT_COUNT_MAX,
     .help = "runs that one worker interleaves; if not said, as many as --batch-max where that is"},
    {"step-budget", NULL, CLI_NUMBER, EACH(options.step_budget), .min = 0, .max = UINT32_MAX,
     .help = "work that a step of an engine may take up, in units of the engine's own, such as "
             "tokens; 0 for what it thinks best"},
    {"batch-max", NULL, CLI_NUMBER, EACH(options.batch_count_max), .min = 1, .max = SLOT_COUNT_MAX,
     .help = "runs that reach a batched pipe in one call, at most, and never more than "
             "--concurrency"},
    {"batch-wait", NULL, CLI_DURATION, EACH(options.batch_wait_ms), .min = 0, .max = MINUTE_MS,
     .help = "such a call waits so long for others at most, and only where that pays"},
    {"queue", NULL, CLI_NUMBER, EACH(options.queue_count_max), .min = 0, .max = RUN_COUNT_MAX,
     .help = "runs that may wait for a worker"},
    {"schedule", "HOW", CLI_CHOICE, EACH(options.schedule), .choices = schedule_words,
     .help = "which run that waits is next: fifo for who came first; fair by the time on slots "
             "that each tenant has had, and by classes"},
    {"tenant", "WHO", CLI_TEXT, EACH(tenant), .check = rank_tenant_check,
     .help = "whose runs are one tenant's for --schedule fair: token (if not said), field for what "
             "the request says as scheduling.tenant, or header NAME"},
    {"affinity", "KEY", CLI_TEXT, EACH(affinity), .check = rank_affinity_check,
     .help =
         "runs of one key go to one worker, which may have something for them, unless it is too "
         "busy: field for scheduling.affinity of the request, header NAME, prefix BYTES for "
         "the beginning of its first text; none (if not said)"},
    {"affinity-load", NULL, CLI_NUMBER, EACH(options.affinity_load), .min = 0,
     .max = SLOT_COUNT_MAX,
     .help = "a worker is too busy for --affinity with so many runs more than another one has"},
    {"queue-total", NULL, CLI_NUMBER, MEMBER(config.queue_total_max), .min = 0,
     .max = RUN_COUNT_MAX,
     .help = "runs of all pipelines together that may wait, 0 for as many as --queue lets each"},
    {"window", NULL, CLI_SIZE, EACH(options.window_bytes), .min = 1024, .max = 1u << 30,
     .help = "bytes of a run's chunks that may wait for its client"},
    {"ring", NULL, CLI_SIZE_POWER, EACH(options.reply_ring_bytes), .min = RING_BYTES_MIN,
     .max = RING_BYTES_MAX, .help = "reply ring of each worker, a power of two"},
    {"max-connections", NULL, CLI_NUMBER, MEMBER(config.conn_count_max), .min = 1,
     .max = CONN_COUNT_MAX,
     .help = "clients at once; if not said, 16384 or what the limit on descriptors leaves"},
    {"max-connections-per-client", NULL, CLI_NUMBER, MEMBER(config.conn_per_client_max), .min = 0,
     .max = CONN_COUNT_MAX,
     .help = "connections from one address, 0 for no such limit; a proxy is one address"},
    {"body-limit", NULL, CLI_SIZE, MEMBER(config.body_bytes_max), .min = 1024, .max = 1u << 30,
     .help = "largest request body, and largest collected result of /v4/runs"},
    {"input-memory", NULL, CLI_SIZE, MEMBER(config.input_bytes_max), .min = 1u << 20,
     .max = UINT64_C(1) << 40, .help = "all requests together that arrive or wait for a worker"},
    {"output-memory", NULL, CLI_SIZE, MEMBER(config.output_bytes_max), .min = 1u << 20,
     .max = UINT64_C(1) << 40, .help = "all responses together that wait for their clients"},
    {"head-timeout", NULL, CLI_DURATION, MEMBER(config.head_timeout_ms), .min = 100, .max = HOUR_MS,
     .help = "a request's head takes so long at most"},
    {"idle-timeout", NULL, CLI_DURATION, MEMBER(config.idle_timeout_ms), .min = 100, .max = DAY_MS,
     .help = "a connection without a request is closed"},
    {"stall-timeout", NULL, CLI_DURATION, MEMBER(config.stall_timeout_ms), .min = 100,
     .max = DAY_MS, .help = "a run is cancelled whose client reads nothing"},
    {"keepalive", NULL, CLI_DURATION, MEMBER(config.keepalive_ms), .min = 0, .max = HOUR_MS,
     .help = "a blank line after so much silence of a stream, 0 for never"},
    {"drain-delay", NULL, CLI_DURATION, MEMBER(config.drain_delay_ms), .min = 0, .max = HOUR_MS,
     .help = "after SIGTERM all goes on for so long but /readyz, which says 503"},
    {"stop-timeout", NULL, CLI_DURATION, MEMBER(config.stop_timeout_ms), .min = 0, .max = DAY_MS,
     .help = "after SIGTERM running runs may finish"},
    {"queue-timeout", NULL, CLI_DURATION, EACH(options.queue_timeout_ms), .min = 0, .max = DAY_MS,
     .help = "a run may wait so long for a worker, 0 for ever"},
    {"first-chunk-timeout", NULL, CLI_DURATION, EACH(options.first_chunk_timeout_ms), .min = 0,
     .max = DAY_MS, .help = "a run's first chunk comes in this time, 0 for no limit"},
    {"progress-timeout", NULL, CLI_DURATION, EACH(options.progress_timeout_ms), .min = 0,
     .max = DAY_MS,
     .help = "a run that shows no sign of life for so long is cancelled, 0 for no limit"},
    {"run-timeout", NULL, CLI_DURATION, EACH(options.run_timeout_ms), .min = 0, .max = DAY_MS,
     .help = "a run takes so long at most, waiting included, 0 for no limit; X-Request-Timeout: "
             "SECONDS of a request can only shorten it"},
    {"quarantine-after", NULL, CLI_NUMBER, EACH(options.quarantine_after), .min = 0, .max = 1000,
     .help =
         "refuse runs of a pipeline once each of its workers died so many times in a row without "
         "finishing a run, 0 for never"},
    {"quarantine-retry", NULL, CLI_DURATION, EACH(options.quarantine_retry_ms), .min = 100,
     .max = DAY_MS,
     .help = "wait at most so long before a worker that died is started again; one that is ready "
             "for so long ends the quarantine"},
    {"cancel-grace", NULL, CLI_DURATION, EACH(options.cancel_grace_ms), .min = 0, .max = HOUR_MS,
     .help = "a cancelled run ends in this time, or its worker is killed"},
    {"recycle-runs", NULL, CLI_NUMBER, EACH(options.recycle_run_count), .min = 0, .max = UINT32_MAX,
     .help = "replace a worker after so many runs, 0 for never"},
    {"recycle-memory", NULL, CLI_SIZE, EACH(options.recycle_bytes), .min = 0,
     .max = UINT64_C(1) << 50,
     .help = "replace a worker that is larger than this after a run, 0 for never"},
    {"recycle-overlap", NULL, CLI_FLAG, EACH(options.recycle_overlap),
     .help =
         "start a worker's successor before it stops, where its device and memory hold both; not "
         "after an error of its device"},
    {"on-cuda-error", "WHAT", CLI_CHOICE, EACH(options.on_cuda_error), .choices = device_policies,
     .help = "after a run that failed with cuda_error: keep its worker, recycle it, also probe the "
             "device before another one uses it, or quarantine the device: end all workers on it "
             "at once until a probe passes"},
    {"on-cuda-oom", "WHAT", CLI_CHOICE, EACH(options.on_cuda_oom), .choices = device_policies,
     .help = "likewise after cuda_oom"},
    {"on-oom", "WHAT", CLI_CHOICE, EACH(options.on_oom), .choices = device_policies,
     .help = "likewise after oom, the memory of the host"},
    {"reload-after", NULL, CLI_FLAG, EACH(options.reload_after),
     .help = "where its device or the memory holds one set of workers only: a reload that replaces "
             "them lets runs end and the old workers go before it starts new ones; new runs are "
             "refused meanwhile"},
    {"allow-mps", NULL, CLI_FLAG, MEMBER(config.allow_mps),
     .help =
         "use NVIDIA's devices although its Multi-Process Service is on, under which the end of "
         "one worker may hurt others on its device"},
    {"preload", "HOW", CLI_CHOICE, EACH(options.preload), .choices = preload_words,
     .help = "load the pipeline once, in a process that its workers are copies of: import its "
             "source, or run its startup hooks, too; none: each worker begins by itself"},
    {"load-parallel", NULL, CLI_NUMBER, MEMBER(config.load_count_max), .min = 0,
     .max = WORKER_COUNT_MAX,
     .help =
         "workers that start at once, since models need most memory while they load; 0 for all"},
    {"device-load-parallel", NULL, CLI_NUMBER, MEMBER(config.device_load_count_max), .min = 0,
     .max = WORKER_COUNT_MAX, .help = "likewise of those on one device"},
    {"start-timeout", NULL, CLI_DURATION, EACH(options.start_timeout_ms), .min = 100, .max = DAY_MS,
     .help =
         "a worker is ready in this time, or it is killed; of one that says how far its start is, "
         "the time since it said so last"},
    {"warmup", "JSON", CLI_TEXT, EACH(warm_up), .check = serve_warm_up_check,
     .is_list_of_json = true,
     .help =
         "inputs of a run, as a request has them, that each worker begins with before it is ready; "
         "what it yields is thrown away; none for none"},
    {"pipeline-error-status", "STATUS", CLI_CHOICE, MEMBER(error_status), .choices = error_statuses,
     .help = "HTTP status of a run that failed before its first output, 200 or 500"},
    {"tracebacks", "WHO", CLI_CHOICE, MEMBER(tracebacks), .choices = tracebacks_words,
     .help = "who sees tracebacks of failed runs: log for the log alone, client for clients, too, "
             "off for nobody"},
    {"crash-traceback", NULL, CLI_FLAG, MEMBER(crash_traceback),
     .help = "the same as --tracebacks client"},
    {"keep-half-closed", NULL, CLI_FLAG, MEMBER(config.keep_half_closed),
     .help = "a client that closed its sending side still reads: do not cancel its run"},
    {"folder", "PATH", CLI_TEXT, EACH(folder), .path = CLI_PATH,
     .help = "the folder in which workers run, where relative paths of their own begin and modules "
             "of Python are found; if not said, the one in which the server was started"},
    {"env", "NAME[=VALUE]", CLI_LIST, .by_pipeline = true, .check = environment_said_check,
     .help = "a variable for workers, besides those that all have; NAME alone passes on the "
             "server's own; what is said here can be seen by all users of this machine"},
    {"env-file", "FILE", CLI_LIST, .by_pipeline = true, .path = CLI_PATH,
     .help = "variables for workers: lines of NAME=VALUE as they stand, or of # and a comment"},
    {"worker-nofile", NULL, CLI_NUMBER, EACH(confinement.nofile_max), .min = WORKER_NOFILE_MIN,
     .max = WORKER_COUNT_LIMIT_MAX,
     .help = "descriptors of each worker; if not said, 1024, and 524288 for workers that raise it"},
    {"worker-core", NULL, CLI_CHOICE, EACH(confinement.core), .choices = core_words,
     .help = "core files of workers: inherit the limit of the server, 0 for none, unlimited"},
    {"worker-memory", NULL, CLI_SIZE, EACH(confinement.memory_bytes_max),
     .min = WORKER_MEMORY_BYTES_MIN, .max = WORKER_MEMORY_BYTES_MAX,
     .help = "memory of each worker and all it starts: beyond that it is killed; the server's "
             "control group must be delegated to it"},
    {"worker-data", NULL, CLI_SIZE, EACH(confinement.data_bytes_max),
     .min = WORKER_MEMORY_BYTES_MIN, .max = WORKER_MEMORY_BYTES_MAX,
     .help = "private memory of each worker process: what it asks for beyond that fails"},
    {"worker-nproc", NULL, CLI_NUMBER, EACH(confinement.nproc_max), .min = 1,
     .max = WORKER_COUNT_LIMIT_MAX,
     .help = "threads that the user of the workers may have on this machine; root is not bound"},
    {"worker-user", "NAME[:GROUP]", CLI_TEXT, EACH(confinement.user_text),
     .help = "the user whom workers are to be, if the server is root: a name; own for one that no "
             "other worker has (if not said); root"},
    {"seccomp", NULL, CLI_CHOICE, EACH(confinement.seccomp), .choices = seccomp_words,
     .help =
         "system calls denied to workers: default (if not said), those that change the machine; "
         "strict, also new programs, processes and sockets; off"},
    {"network", NULL, CLI_CHOICE, EACH(confinement.network), .choices = network_words,
     .help = "sockets of workers: all, or none but local ones"},
    {"allow-read", "PATH", CLI_LIST, .by_pipeline = true, .path = CLI_PATH_OR_NONE,
     .help =
         "workers read no other files than what is below here, the system's and their own; none "
         "for nothing more"},
    {"allow-write", "PATH", CLI_LIST, .by_pipeline = true, .path = CLI_PATH_OR_NONE,
     .help = "workers write no other files than what is below here, and read these; none for "
             "nothing"},
    {"allow-connect", "PORT", CLI_LIST, .by_pipeline = true, .check = serve_port_check,
     .help = "workers make no other TCP connections than to this port, and take none"},
    {"log-level", NULL, CLI_CHOICE, MEMBER(log_level), .choices = log_levels,
     .help = "write lines of this level and above: debug, info, warning, error"},
    {"log-runs", "WHICH", CLI_TEXT, MEMBER(log_runs), .check = serve_log_runs_check,
     .help = "lines at the ends of runs: all (if not said), failed for all that did not complete, "
             "off, or a number N for these and every Nth that completed"},
    {"log-format", NULL, CLI_CHOICE, MEMBER(log_format), .choices = log_formats,
     .help = "how lines of the log look: text, json, logfmt"},
    {"log-file", "PATH", CLI_TEXT, MEMBER(config.log_path), .path = CLI_PATH,
     .help = "add the log to this file instead of writing it to stderr; SIGUSR1 opens it again"},
    {"control", "PATH", CLI_TEXT, MEMBER(config.control_path), .path = CLI_PATH_OR_NONE,
     .check = control_path_check,
     .help = "the socket for millrace ps, reload, stop and so on; if not said, control.sock in "
             "/run/millrace or another folder of the user's own; none for no socket"},
    {"files", "DIR", CLI_TEXT, MEMBER(config.files_path), .path = CLI_PATH,
     .help =
         "keep the files that clients upload to /v4/files in this folder, which is made if it is "
         "missing; if not said, none are taken"},
    {"file-limit", NULL, CLI_SIZE, MEMBER(config.file_bytes_max), .min = 1024,
     .max = UINT64_C(1) << 50, .help = "largest uploaded file"},
    {"files-total", NULL, CLI_SIZE, MEMBER(config.files_total_bytes), .min = 1024,
     .max = UINT64_C(1) << 50,
     .help = "all uploaded files together; those that were not used for longest make room"},
    {"files-ttl", NULL, CLI_DURATION, MEMBER(config.files_ttl_ms), .min = 0, .max = 3650 * DAY_MS,
     .help = "remove a file that was not used for so long, 0 for never"},
    {"fetch-allow", "WHERE", CLI_LIST, MEMBER(config.fetch_allow), .max = FETCH_RULE_COUNT_MAX,
     .check = fetch_rule_check,
     .help = "what clients name as file_url or callback_url may be there, too, not only at public "
             "addresses: a host, an address or a range of them, each with :PORT or for any port; "
             "none for no URLs at all"},
    {"fetch-limit", NULL, CLI_SIZE, MEMBER(config.fetch_bytes_max), .min = 1024,
     .max = UINT64_C(1) << 50,
     .help = "largest file that is fetched from a file_url; if not said, that of --file-limit"},
    {"fetch-timeout", NULL, CLI_DURATION, MEMBER(config.fetch_timeout_ms), .min = 100,
     .max = DAY_MS, .help = "a file is fetched in this time"},
    {"worker", "PATH", CLI_TEXT, MEMBER(worker), .path = CLI_PATH,
     .help = "the worker program; if not said, millrace-worker beside this program or in "
             "../libexec/millrace"},
    {"python", "PATH", CLI_TEXT, EACH(python), .path = CLI_PATH_OR_NAME,
     .help =
         "the interpreter of Python pipelines, a virtualenv's for example; if not said, python3 "
         "in PATH"},
    {"python-threads", NULL, CLI_FLAG, EACH(options.python_threads),
     .help =
         "each run of a plain Python pipeline has a thread of its own, --concurrency of them at "
         "once in a worker"},
};
/* clang-format on */

const struct cli_command serve_command = {
    .name = "serve",
    .words = "[POINTER=]SOURCE[:NAME]...",
    .about =
        "Serves pipelines over HTTP, each in worker processes of its own. SOURCE is a shared\n"
        "object made with <millrace/pipeline.h>, or a Python file or module (a.py, package.a);\n"
        "NAME is the pipeline in it, which only a module needs if there are not several.\n"
        "A folder with a pipeline.yaml of Mystic's, or that file, says itself what it is.\n"
        "Clients call it by POINTER, like me/words:v1; if not said, local/NAME:v1, or without a\n"
        "NAME local/FILE:v1 (of a.py, local/a:v1).\n\n"
        "Options with [POINTER=] are for all pipelines or, like --workers me/words:v1=8, for\n"
        "one of them.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .words_are = CLI_WORDS_FILES,
    .word_count_min = 0, /* a file may have them */
    .word_count_max = PIPELINE_COUNT_MAX,
    .say = serve_say,
    .usual = offsetof(struct serve_values, usual),
};

void serve_values_init(struct serve_values *values)
{
    *values = (struct serve_values){0};
    config_init(&values->config);
    values->usual.options = values->config.options;
    values->log_level = values->config.log_level;
}

static int serve_say(void *values, const struct cli_option *option, const char *text,
                     char reason[CLI_REASON_BYTES])
{
    struct serve_values *serve_values = values;
    return said_take(&serve_values->config.said, option, text, reason);
}

bool serve_log_runs_read(const char *word, uint32_t *out)
{
    if (!word || strcmp(word, "all") == 0)
        *out = LOG_RUNS_ALL;
    else if (strcmp(word, "failed") == 0)
        *out = LOG_RUNS_FAILED;
    else if (strcmp(word, "off") == 0)
        *out = LOG_RUNS_OFF;
    else {
        unsigned long number = strlen(word) <= 7 ? strtoul(word, NULL, 10) : 0;
        if (strspn(word, "0123456789") != strlen(word) || number < 1 || number > LOG_RUNS_N_MAX)
            return false;
        *out = (uint32_t)number;
    }
    return true;
}

/* ---- what a text cannot be ----------------------------------------------------------------- */

static int serve_log_runs_check(const char *text, char reason[CLI_REASON_BYTES])
{
    uint32_t unused;
    return serve_log_runs_read(text, &unused)
               ? 0
               : refuse(reason, "--log-runs: '%.40s' is not all, failed, off or a number (1 to %u)",
                        text, LOG_RUNS_N_MAX);
}

static int serve_host_check(const char *text, char reason[CLI_REASON_BYTES])
{
    return host_name_is_valid(text)
               ? 0
               : refuse(reason,
                        "--allow-host %s: not the name of a host, like box.example; without a port",
                        text);
}

static int serve_origin_check(const char *text, char reason[CLI_REASON_BYTES])
{
    return host_origin_is_valid(text)
               ? 0
               : refuse(reason,
                        "--allow-origin %s: not an origin, like https://box.example:8443 or null",
                        text);
}

static int serve_port_check(const char *text, char reason[CLI_REASON_BYTES])
{
    static const struct cli_option port = {.name = "allow-connect",
                                           .kind = CLI_NUMBER,
                                           .bytes = sizeof(uint32_t),
                                           .min = 1,
                                           .max = UINT16_MAX};
    uint32_t unused;
    return cli_set(&port, text, &unused, reason);
}

static int serve_warm_up_check(const char *text, char reason[CLI_REASON_BYTES])
{
    char why[WARM_UP_REASON_BYTES];
    if (strcmp(text, CONFIG_WARM_UP_NONE) == 0)
        return 0;
    if (strlen(text) > CLI_JSON_BYTES_MAX)
        return refuse(reason, "--warmup: it is larger than %u bytes", CLI_JSON_BYTES_MAX);
    int rc = warm_up_inputs_check(text, why);
    return rc < 0 ? refuse(reason, "--warmup: %s", why) : 0;
}
