/* SPDX-License-Identifier: MIT */
/*
 * options.c - reads the command line.
 */
#include "worker/native/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include "build/version.h"
#include "millrace/limits.h"
#include "shm/clock.h"

static const char options_help[] =
    "Usage: millrace-worker --parent PID [OPTION]... --source PATH\n"
    "       millrace-worker --parent PID [OPTION]... -- PROGRAM [WORD]...\n\n"
    "Executes one pipeline; started by millrace serve and millrace check, not by hand. A\n"
    "pipeline in C or C++ is a shared object, PATH, that it loads. For one in Python it\n"
    "gives up what the pipeline is not to have and becomes PROGRAM, the interpreter, in\n"
    "which the package millrace_worker does the rest.\n\n"
    "Options:\n"
    "  --parent PID       the process that started it, with which it dies\n"
    "  --confine LINES    what it gives up, in the words of millrace/confine.h\n"
    "  --cgroup FOLDER    the control group that it joins\n"
    "  --own-user UID     the user that it becomes, whose only process it is\n"
    "  --shared-user UID  likewise, where others run as that user, and go on\n"
    "  --scratch NAME     of the folder of its own that it gets\n"
    "  --cores LIST       the processing units that it runs on: 0-3,8\n"
    "  --memory-nodes LIST\n"
    "                     the NUMA nodes that it has its memory on, if there is room\n"
    "  --device-nodes PATH[:PATH]...\n"
    "                     files of its device, which it may open when it is confined to\n"
    "                     some; of no other devices; \"\": of none\n"
    "  --preload HOW      it is a template, of which workers are copies: import, startup\n"
    "  --source PATH      the shared object\n"
    "  --name NAME        of the pipeline in it; if not said, the only one\n"
    "  --pointer POINTER  what clients call the pipeline\n"
    "  --index N          of this worker among those of the pipeline\n"
    "  --batch-max N      items of one call of a batched pipe\n"
    "  --batch-wait MS    milliseconds that such a call waits for others, at most\n"
    "  --batch-asked      these were said for this pipeline, which then should have one\n"
    "  --strict           start no programs and processes, open no sockets\n"
    "  --check            load the pipeline, say what its variables are, exit\n"
    "  --version          print the version and exit\n"
    "  --help             print this and exit\n\n"
    "Those from --parent to --preload are of both kinds; millrace-serve(1) has what they\n"
    "mean to who serves pipelines.\n";

static const struct option known[] = {
    {"source", required_argument, NULL, 's'},
    {"name", required_argument, NULL, 'n'},
    {"pointer", required_argument, NULL, 'p'},
    {"index", required_argument, NULL, 'i'},
    {"parent", required_argument, NULL, 'P'},
    {"confine", required_argument, NULL, 'C'},
    {"cgroup", required_argument, NULL, 'g'},
    {"own-user", required_argument, NULL, 'u'},
    {"shared-user", required_argument, NULL, 'U'},
    {"scratch", required_argument, NULL, 't'},
    {"cores", required_argument, NULL, 'r'},
    {"memory-nodes", required_argument, NULL, 'm'},
    {"device-nodes", required_argument, NULL, 'd'},
    {"preload", required_argument, NULL, 'l'},
    {"batch-max", required_argument, NULL, 'b'},
    {"batch-wait", required_argument, NULL, 'w'},
    {"batch-asked", no_argument, NULL, 'a'},
    {"strict", no_argument, NULL, 'S'},
    {"check", no_argument, NULL, 'c'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static bool options_take_common(struct options *options, int option);
static bool options_take_batch(struct options *options, int option);
static bool options_number(const char *text, long max, long *out);

int options_parse(struct options *out, int argc, char **argv)
{
    struct options options = {.pointer = "",
                              .batch = {BATCH_COUNT_MAX, BATCH_WAIT_MS * CLOCK_NS_PER_MS}};
    long number = 0;
    bool is_sound = true;
    int option;
    while (is_sound && (option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options.source = optarg;
            break;
        case 'n':
            options.name = optarg;
            break;
        case 'p':
            options.pointer = optarg;
            break;
        case 'i':
            is_sound = options_number(optarg, INT_MAX, &number);
            options.index = (uint32_t)number;
            break;
        case 'b':
        case 'w':
        case 'a':
            is_sound = options_take_batch(&options, option);
            break;
        case 'S':
            options.is_strict = true;
            break;
        case 'c':
            options.is_check = true;
            break;
        case 'h':
            fputs(options_help, stdout);
            return 1;
        case 'v':
            printf("millrace-worker %s, for pipelines in C, C++ and Python\n", MILLRACE_VERSION);
            return 1;
        default:
            is_sound = options_take_common(&options, option);
            break;
        }
    }
    if (optind < argc)
        options.program = argv + optind;
    if (!is_sound || (options.program == NULL) == (options.source == NULL) || options.parent == 0) {
        fprintf(stderr, "millrace-worker is started by millrace serve; --help lists its options\n");
        return -EINVAL;
    }
    *out = options;
    return 0;
}

/* Those that pipelines of both kinds have. False: it is none of them, or not sound. */
static bool options_take_common(struct options *options, int option)
{
    long number = 0;
    bool is_sound = true;
    switch (option) {
    case 'P':
        is_sound = options_number(optarg, INT_MAX, &number);
        options->parent = (pid_t)number;
        break;
    case 'C':
        options->confine = optarg;
        break;
    case 'g':
        options->cgroup = optarg;
        break;
    case 'u':
    case 'U':
        options->user_is_shared = option == 'U';
        is_sound = options_number(optarg, UINT32_MAX - 1, &number) && number > 0;
        options->own_user = (uid_t)number;
        break;
    case 't':
        options->scratch = optarg;
        break;
    case 'r':
        is_sound = binding_parse(&options->binding.cores, optarg) == 0;
        break;
    case 'm':
        is_sound = binding_parse(&options->binding.memory_nodes, optarg) == 0;
        break;
    case 'd':
        options->device_nodes = optarg;
        break;
    case 'l':
        is_sound = preload_parse(optarg, &options->preload);
        break;
    default:
        is_sound = false;
        break;
    }
    return is_sound;
}

/* Those of batched pipes. */
static bool options_take_batch(struct options *options, int option)
{
    long number = 0;
    if (option == 'a') {
        options->is_batch_asked = true;
        return true;
    }
    if (!options_number(optarg, INT_MAX, &number))
        return false;
    if (option == 'w')
        options->batch.wait_ns = (uint64_t)number * CLOCK_NS_PER_MS;
    else
        options->batch.count_max = (uint32_t)number;
    return options->batch.count_max > 0;
}

/* A whole number up to `max`. */
static bool options_number(const char *text, long max, long *out)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 0 || number > max)
        return false;
    *out = number;
    return true;
}
