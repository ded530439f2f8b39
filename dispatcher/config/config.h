/* SPDX-License-Identifier: MIT */
/*
 * config.h - what `millrace serve` was told, checked and complete; constant while somebody holds on
 * to it (config_hold.h).
 *
 * Every function that refuses something returns -EINVAL (or what it says) and one line for people
 * in `reason`, without a newline.
 */
#ifndef DISPATCHER_CONFIG_H
#define DISPATCHER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/alias_config.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/confinement.h"
#include "dispatcher/config/cors.h"
#include "dispatcher/config/device_choice.h"
#include "dispatcher/config/environment.h"
#include "dispatcher/config/listen_address.h"
#include "dispatcher/config/own_users.h"
#include "dispatcher/config/pointer.h"
#include "dispatcher/config/rank_source.h"
#include "dispatcher/config/said.h"
#include "dispatcher/config/source_digest.h"
#include "dispatcher/config/tokens.h"
#include "dispatcher/reactor/log.h"
#include "dispatcher/text/document.h"
#include "millrace/check.h"
#include "millrace/limits.h"
#include "millrace/preload.h"

#define PIPELINE_COUNT_MAX 64u
#define PIPELINE_ID_BYTES 42u /* "pipeline_" and 32 hex digits, and the NUL */
#define LISTEN_COUNT_MAX 8u
#define RUN_COUNT_MAX (1u << 20) /* run_count_max of any configuration */

/* Defaults of options whose other bounds are in limits.h. */
#define LISTEN_DEFAULT "127.0.0.1:8080"
#define CONN_COUNT_DEFAULT 16384u /* or what the descriptor limit leaves, if that is less */
#define INPUT_BYTES_DEFAULT (UINT64_C(256) * 1024 * 1024)
#define OUTPUT_BYTES_DEFAULT (UINT64_C(512) * 1024 * 1024)
#define STOP_TIMEOUT_MS 30000u
#define FILE_BYTES_DEFAULT (UINT64_C(4) * 1024 * 1024 * 1024)
#define FILES_TOTAL_BYTES_DEFAULT (UINT64_C(16) * 1024 * 1024 * 1024)
#define FETCH_TIMEOUT_MS 300000u
#define CONFIG_WARM_UP_NONE "none" /* takes that of all pipelines from one */
#define DEVICE_HOLD_MS 5000u
#define AFFINITY_LOAD 8u
/* Places of workers that are kept free for devices which nobody has counted yet. */
#define DEVICE_COUNT_USUAL 16u

/* Descriptors that are not connections: of each worker (segment, doorbells, socket, pidfd, pipes,
 * and the pipes of the process before), and of the process (io_uring, listeners, signals, the
 * spawner's socket, files opened in passing). */
#define FD_COUNT_PER_WORKER 10u
#define FD_COUNT_RESERVED 64u
#define RENEWAL_PLACE_COUNT 1u  /* of the worker whose turn it is when all are replaced */
#define BODY_FILE_COUNT_MIN 16u /* of those that are reserved */

/* What a pipeline is made of, which decides the program that executes it. */
enum source_kind {
    SOURCE_SHARED_OBJECT = 0,
    SOURCE_PYTHON_FILE,   /* a path that ends with .py */
    SOURCE_PYTHON_MODULE, /* package.module, found by the interpreter */
    SOURCE_MANIFEST,      /* a pipeline.yaml, which names what is in its folder */
    SOURCE_KIND_COUNT
};

/* What is done with the worker of a run that failed for memory or a device, and with its device:
 * --on-cuda-error and so on. Each does what those before it do. */
enum device_policy {
    DEVICE_POLICY_KEEP = 0,
    DEVICE_POLICY_RECYCLE,    /* another worker takes its place */
    DEVICE_POLICY_PROBE,      /* when a fresh process could use the device */
    DEVICE_POLICY_QUARANTINE, /* and all workers on the device end at once */
    DEVICE_POLICY_COUNT
};

/* Which of the runs that wait is next, --schedule. */
enum schedule {
    SCHEDULE_FIFO = 0, /* who came first */
    SCHEDULE_FAIR,     /* by classes, and within one by what tenants have got (fair_queue.h) */
    SCHEDULE_COUNT
};

/* How the workers of a pipeline are run, and what its runs may. */
struct pipeline_options {
    struct cli_range workers; /* as many as runs need, within it, --workers */
    uint32_t ready_count_min; /* /readyz wants so many of them, --ready-workers */
    uint32_t worker_idle_ms;  /* one that is not needed for so long goes, --worker-idle-timeout */
    uint32_t workers_per_device; /* at most, of those that its devices have, --workers-per-device */
    bool devices_count_workers;  /* nothing else says how many there are */
    bool device_unbound; /* they keep to no cores and memory near a device, --device-unbound */
    uint64_t device_memory_bytes; /* of a device, of each worker; 0: not said, --device-memory */
    bool device_memory_learned;   /* likewise, but measured: --device-memory auto */
    uint32_t device_hold_ms;      /* one that was loaded stays so long, --device-hold */
    uint32_t preload;             /* enum preload, --preload */
    uint32_t concurrency;         /* runs a worker interleaves, --concurrency */
    uint32_t batch_count_max;     /* items of a call of a batched pipe, --batch-max */
    uint32_t batch_wait_ms;       /* which waits so long for others, at most, --batch-wait */
    bool batch_is_asked;          /* one of these was said for this pipeline */
    bool python_threads;          /* plain runs of Python have a thread each, --python-threads */
    uint32_t request_ring_bytes;
    uint32_t reply_ring_bytes;
    uint32_t window_bytes; /* --window */
    uint32_t step_budget;  /* of engines, in units of their own, --step-budget; 0: not said */

    uint32_t queue_count_max;  /* runs waiting for a worker, --queue */
    uint32_t schedule;         /* enum schedule, --schedule */
    uint32_t affinity_load;    /* runs that a worker may have above others to keep an affinity */
    uint32_t queue_timeout_ms; /* a run may wait so long for a worker, --queue-timeout */
    uint32_t first_chunk_timeout_ms; /* --first-chunk-timeout; 0: no limit, also the next two */
    uint32_t progress_timeout_ms;    /* without a chunk or a sign of life, --progress-timeout */
    uint32_t run_timeout_ms;         /* in all, --run-timeout; a request may ask for less */
    uint32_t cancel_grace_ms;        /* a cancelled run may take so long to end, --cancel-grace */

    uint32_t start_timeout_ms;  /* a worker that starts may say nothing so long, --start-timeout */
    uint32_t recycle_run_count; /* it is replaced after so many runs, --recycle-runs; 0: never */
    bool recycle_overlap;       /* its successor starts first, --recycle-overlap */
    uint32_t on_cuda_error, on_cuda_oom, on_oom; /* enum device_policy, --on-cuda-error, ... */
    bool reload_after;            /* a reload ends the old workers first, --reload-after */
    uint64_t recycle_bytes;       /* or when it is larger, --recycle-memory; 0: never */
    uint32_t quarantine_after;    /* deaths in a row of each worker, --quarantine-after; 0: never */
    uint32_t quarantine_retry_ms; /* at most so long between starts, --quarantine-retry */
};

struct manifest;

/* Whether its workers reserve memory of their devices. */
static inline bool pipeline_options_reserve(const struct pipeline_options *options)
{
    return options->device_memory_bytes > 0 || options->device_memory_learned;
}

/* One [POINTER=]SOURCE[:NAME] of the command line. Strings are owned by the config. */
struct pipeline_config {
    char *pointer; /* my_user/my_pipeline:v1 */
    char id[PIPELINE_ID_BYTES];
    enum source_kind kind;
    char *source;                /* a path, or a module's name */
    char *name;                  /* of the pipeline inside it; NULL: the only one */
    struct manifest *manifest;   /* owned; NULL: it is of another kind */
    struct document_place place; /* of its source, in config->said.file; 0: the command line */
    struct source_digest digest; /* of a file, where there is a configuration file */
    struct pipeline_options options;
    const char
        *python; /* the interpreter as it was said, --python; memory of argv; NULL: python3 */
    const char *device_memory; /* as it was said; likewise; NULL: nothing was */
    const char *tenant;        /* whose runs share alike, as it was said; likewise, --tenant */
    const char *affinity;      /* what prefers a worker, --affinity; likewise */
    struct rank_source tenant_by, affinity_by; /* made from them */
    const char *folder;  /* in which its workers run, --folder; likewise; NULL: the server's own */
    const char *warm_up; /* inputs of a run that each worker begins with, as JSON, --warmup;
                          * likewise; NULL: there is none */
    char *python_path;   /* where it is, once that was looked up; NULL: it is no Python pipeline */
    char *python_folder; /* of the millrace_worker package; likewise */
    struct environment environment;        /* variables that its workers have of their own, */
    struct environment device_environment; /* and those of which a value tells of their device */
    struct device_choice devices;          /* that its workers are bound to, --devices */
    struct confinement confinement;        /* what its workers give up, */
    char *confine;                         /* as lines of millrace/confine.h */
};

struct config_holders;

/* Which runs have a line at their end, --log-runs: all, all that did not complete, none; or these,
 * and every Nth that completed. */
#define LOG_RUNS_ALL 1u
#define LOG_RUNS_FAILED 0u
#define LOG_RUNS_OFF UINT32_MAX

/* Who sees the tracebacks of failed runs and starts: the log; clients, too; nobody. */
enum tracebacks { TRACEBACKS_LOG = 0, TRACEBACKS_CLIENT, TRACEBACKS_OFF, TRACEBACKS_COUNT };

enum metrics_access { METRICS_OPEN = 0, METRICS_TOKEN, METRICS_OFF, METRICS_ACCESS_COUNT };

struct config {
    struct config_holders *holders; /* config_hold.h; owned; NULL: it is still being made */

    struct pipeline_config pipelines[PIPELINE_COUNT_MAX];
    uint32_t pipeline_count;
    struct alias_config aliases[ALIAS_COUNT_MAX];
    uint32_t alias_count;
    struct said said; /* of one of them, or all */
    char **texts;     /* text_count of them, that others point to; owned */
    uint32_t text_count;

    struct own_users own_users;                     /* of workers that have users of their own */
    char own_users_missing[OWN_USERS_REASON_BYTES]; /* why root can give them none; "": it can */

    struct pipeline_options options; /* of each pipeline of which nothing else is said */
    bool allow_mps;                  /* mps.h, --allow-mps */
    uint32_t load_count_max;         /* workers that load at once, --load-parallel; 0: all */
    uint32_t device_load_count_max;  /* of those on one device, --device-load-parallel; 0: all */
    char *worker_path;               /* of the millrace-worker binary, --worker */

    char *listen[LISTEN_COUNT_MAX]; /* "ADDR:PORT" or "[ADDR6]:PORT", --listen, repeatable */
    uint32_t listen_count;
    uint32_t conn_count_max;      /* --max-connections */
    uint32_t conn_count_said;     /* as it was said; 0: it was not */
    uint32_t conn_per_client_max; /* --max-connections-per-client; 0: no such limit */
    uint32_t run_count_max;       /* runs known at once, running and queued; derived */
    uint32_t queue_total_max;  /* likewise, of all pipelines together, --queue-total; 0: that sum */
    uint64_t input_bytes_max;  /* of requests that arrive or wait, --input-memory */
    uint64_t output_bytes_max; /* all responses waiting to be sent, --output-memory */

    uint32_t body_bytes_max;
    uint32_t body_file_count_max; /* derived: descriptors for large bodies */
    uint32_t head_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t stall_timeout_ms;  /* a client that reads nothing, --stall-timeout */
    uint32_t keepalive_ms;      /* blank line after so much silence, 0 = never, --keepalive */
    uint32_t drain_delay_ms;    /* before the listeners close, --drain-delay */
    uint32_t stop_timeout_ms;   /* running runs after SIGTERM, --stop-timeout */
    int pipeline_error_status;  /* 200, or what --pipeline-error-status said */
    enum tracebacks tracebacks; /* also of crashes, --tracebacks */
    bool keep_half_closed;      /* a client's FIN does not cancel its run, --keep-half-closed */
    bool no_auth;
    enum metrics_access metrics_access; /* who may GET /metrics, --metrics */
    uint32_t log_runs;                  /* LOG_RUNS_*, or N */
    enum log_level log_level;           /* lines below it are not written, --log-level */
    enum log_format log_format;         /* --log-format */
    const char *log_path;               /* borrowed; NULL: the log goes to stderr, --log-file */
    const char *control_path;           /* borrowed; NULL: the usual one, --control */
    const char *files_path;             /* likewise; NULL: no files are kept, --files */
    uint64_t file_bytes_max;            /* of one file, --file-limit */
    uint64_t files_total_bytes;         /* of all, --files-total */
    uint64_t files_ttl_ms;              /* that are not used, --files-ttl; 0: for ever */
    struct cli_list fetch_allow;        /* fetch_rule.h, --fetch-allow */
    uint64_t fetch_bytes_max;  /* of one file from a URL, --fetch-limit; 0: not said, derived */
    uint32_t fetch_timeout_ms; /* in all, --fetch-timeout */

    struct tokens tokens;          /* empty: everyone may */
    struct cli_list token_classes; /* as they were said, --token-class */
    uint32_t others_class; /* of those who have no token; RUN_CLASS_NONE: they have no say */
    struct rank_headers rank_headers; /* that some pipeline looks at */
    bool has_classes;                 /* some pipeline has */
    bool tokens_share;                /* runs of one are runs of all, --tokens-share */
    /* What else than this machine's own pages may be meant where there are no tokens. */
    struct cli_list allow_hosts, allow_origins; /* --allow-host, --allow-origin */
    struct cli_list cors_origins;               /* --cors-origin */
    struct cors cors;                           /* made from them; owned */
};

/* Every default; owns nothing yet. */
void config_init(struct config *config);

/* Adds one [POINTER=]SOURCE[:NAME]. -EINVAL: not of that form, a pointer twice, too many; -ENOMEM.
 * Of files it looks at a pipeline.yaml alone, in which the pointer may be; what is wrong with that
 * says pipeline_config_check_source(). */
int config_add_pipeline(struct config *config, const char *argument,
                        char reason[CLI_REASON_BYTES]) MUST_USE;

/* Likewise what a file says in `place`, of which a path begins at `folder` ("": where we are). */
int config_add_source(struct config *config, const char *pointer, const char *source,
                      const char *folder, struct document_place place,
                      char reason[CLI_REASON_BYTES]) MUST_USE;

/* The text, memory of malloc(), lives as long as the configuration from now on. -ENOMEM: it was
 * freed. */
int config_text_adopt(struct config *config, char *text) MUST_USE;

/* Adds an address to listen on; "localhost" and "" (all addresses) become numbers. -EINVAL,
 * -ENOMEM. */
int config_add_listen(struct config *config, const char *text,
                      char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether it could be added. */
int config_listen_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Checks what concerns several options at once and derives what was not said. `fd_count_max` is the
 * limit on descriptors of this process. -EINVAL, -ENOMEM. */
int config_complete(struct config *config, uint64_t fd_count_max,
                    char reason[CLI_REASON_BYTES]) MUST_USE;

/* Nobody holds on to it any more. */
void config_finish(struct config *config);

/* Places for processes of workers, of all pipelines, when each has as many as it may: one more of
 * each where one starts before another stops, and one for a renewal, which goes from pipeline to
 * pipeline. */
uint32_t config_place_count(const struct config *config);

/* The workers that a pipeline may have, or, before its devices are counted, those for whom there is
 * to be a place. */
uint32_t pipeline_config_worker_max(const struct pipeline_config *pipeline);

/* One pipeline from its argument, for commands that take one; the strings are the caller's. Results
 * as of config_add_pipeline(). */
int pipeline_config_parse(struct pipeline_config *out, const char *argument,
                          char reason[CLI_REASON_BYTES]) MUST_USE;
void pipeline_config_finish(struct pipeline_config *pipeline);

/* Whether a Python interpreter executes it, rather than millrace-worker. */
bool pipeline_config_is_python(const struct pipeline_config *pipeline);

/* The path of what is loaded, in memory of the pipeline; NULL: only its interpreter knows. */
const char *pipeline_config_path(const struct pipeline_config *pipeline);

/* Whether the source can be loaded as far as its file tells: -ENOENT, -EISDIR, -EACCES, -ENOEXEC
 * (not a regular file), -EINVAL (a manifest with errors, of which it says the first), ..., with
 * `reason`. */
int pipeline_config_check_source(const struct pipeline_config *pipeline,
                                 char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
