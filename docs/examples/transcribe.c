/* SPDX-License-Identifier: MIT */
/*
 * transcribe.c - streams what was said in a recording while it is decoded (pocketsphinx, US
 * English).
 *
 *     cc -shared -fPIC transcribe.c -o transcribe.so $(pkg-config --cflags millrace) \
 *        $(pkg-config --cflags --libs pocketsphinx)
 *     millrace serve transcribe.so
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"string",
 *                          "value":"/usr/share/pocketsphinx/test/data/goforward.raw"}]}'
 *
 * The input is the path of a .raw or .wav file on the server, or base64 of raw samples; both are
 * 16 kHz, mono, 16 bit, little-endian. A public server would take base64 alone.
 *
 * The model is loaded once, when the worker starts. A decoder does one recording at a time: further
 * runs on the same worker wait for their turn; --workers gives more decoders.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pocketsphinx.h>
#include <sphinxbase/err.h>

#include <millrace/pipeline.h>

#define MODEL "/usr/share/pocketsphinx/model/en-us/"
#define SAMPLES_PER_SECOND 16000u
#define SAMPLES_PER_STEP (SAMPLES_PER_SECOND / 10)
#define TURN_POLL_MS 20
#define RECORDING_BYTES_MAX (64u * 1024 * 1024)

/* One for each worker. */
struct recogniser {
    ps_decoder_t *decoder;
    cmd_ln_t *config;
    bool is_busy; /* one recording at a time */
};

/* One for each run. */
struct recording {
    struct recogniser *recogniser;
    unsigned char *bytes; /* the file, or what base64 stood for */
    const unsigned char *samples;
    size_t sample_count;
    size_t next; /* sample */
    bool has_turn;
    bool is_final; /* the last item was sent */
    char *said;    /* the last partial text */
};

/* ---- reading a recording ------------------------------------------------------------------- */

static int read_file(struct recording *recording, const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return -errno;
    int rc = -EIO;
    recording->bytes = malloc(RECORDING_BYTES_MAX);
    if (recording->bytes) {
        *count = fread(recording->bytes, 1, RECORDING_BYTES_MAX, file);
        rc = ferror(file) ? -EIO : 0;
    }
    fclose(file);
    return rc;
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c == '\0' ? NULL : strchr(digits, c);
    return found ? (int)(found - digits) : -1;
}

static int read_base64(struct recording *recording, const char *text, size_t *count)
{
    unsigned bits = 0;
    unsigned bit_count = 0;
    *count = 0;
    recording->bytes = malloc(strlen(text) + 1);
    if (!recording->bytes)
        return -ENOMEM;
    for (; *text != '\0' && *text != '='; text++) {
        if (*text == '\n' || *text == '\r')
            continue;
        int digit = base64_digit(*text);
        if (digit < 0)
            return -EINVAL;
        bits = (bits << 6 | (unsigned)digit) & 0xffffffu;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            recording->bytes[(*count)++] = (unsigned char)(bits >> bit_count);
        }
    }
    return 0;
}

static unsigned long little(const unsigned char *bytes, int count)
{
    unsigned long number = 0;
    while (count-- > 0)
        number = number << 8 | bytes[count];
    return number;
}

/* Finds the samples in a RIFF file: 16 kHz, mono, 16 bit; anything else is refused. */
static int open_wav(struct recording *recording, size_t count)
{
    const unsigned char *bytes = recording->bytes;
    bool is_fit = false;
    for (size_t at = 12; at + 8 <= count;) {
        size_t length = little(bytes + at + 4, 4);
        if (length > count - at - 8)
            length = count - at - 8;
        const unsigned char *chunk = bytes + at + 8;
        if (memcmp(bytes + at, "fmt ", 4) == 0 && length >= 16) {
            is_fit = little(chunk, 2) == 1 && little(chunk + 2, 2) == 1 &&
                     little(chunk + 4, 4) == SAMPLES_PER_SECOND && little(chunk + 14, 2) == 16;
        } else if (memcmp(bytes + at, "data", 4) == 0) {
            recording->samples = chunk;
            recording->sample_count = length / 2;
            return is_fit ? 0 : -EINVAL;
        }
        at += 8 + length + length % 2;
    }
    return -EINVAL;
}

/* A path has a dot in it, base64 has none. */
static int recording_open(struct recording *recording, const char *input)
{
    size_t count = 0;
    const char *dot = strrchr(input, '.');
    bool is_path = dot && (strcmp(dot, ".raw") == 0 || strcmp(dot, ".wav") == 0);
    int rc = is_path ? read_file(recording, input, &count) : read_base64(recording, input, &count);
    if (rc != 0)
        return rc;
    if (count >= 12 && memcmp(recording->bytes, "RIFF", 4) == 0)
        return open_wav(recording, count);
    recording->samples = recording->bytes;
    recording->sample_count = count / 2;
    return 0;
}

static void recording_close(void *state)
{
    struct recording *recording = state;
    if (recording->has_turn) {
        if (!recording->is_final)
            ps_end_utt(recording->recogniser->decoder);
        recording->recogniser->is_busy = false;
    }
    free(recording->said);
    free(recording->bytes);
    free(recording);
}

/* ---- the stream ---------------------------------------------------------------------------- */

static int write_final(struct recording *recording, struct mr_value *out)
{
    ps_decoder_t *decoder = recording->recogniser->decoder;
    recording->is_final = true;
    if (ps_end_utt(decoder) < 0)
        return mr_value_fail(out, MR_ERROR_PIPELINE, "the decoder did not finish");
    const char *said = ps_get_hyp(decoder, NULL);
    mr_value_dictionary(out, 1);
    mr_value_string(out, "final", 5);
    return mr_value_stringf(out, "%s", said ? said : "");
}

static int write_partial(struct recording *recording, const char *said, struct mr_value *out)
{
    free(recording->said);
    recording->said = strdup(said);
    if (!recording->said)
        return mr_value_fail(out, MR_ERROR_OOM, "out of memory");
    mr_value_dictionary(out, 2);
    mr_value_string(out, "t", 1);
    mr_value_fp(out, (double)recording->next / SAMPLES_PER_SECOND);
    mr_value_string(out, "partial", 7);
    return mr_value_stringf(out, "%s", said);
}

/* Decodes a tenth of a second; an item when that changed what is heard. */
static int recording_next(void *state, struct mr_value *out)
{
    struct recording *recording = state;
    struct recogniser *recogniser = recording->recogniser;
    if (recording->is_final)
        return MR_END;
    if (!recording->has_turn) {
        if (recogniser->is_busy)
            return mr_later_ms(out, TURN_POLL_MS);
        if (ps_start_utt(recogniser->decoder) < 0)
            return mr_value_fail(out, MR_ERROR_PIPELINE, "the decoder did not start");
        recogniser->is_busy = true;
        recording->has_turn = true;
    }
    size_t count = recording->sample_count - recording->next;
    if (count == 0)
        return write_final(recording, out);

    int16 samples[SAMPLES_PER_STEP];
    count = count < SAMPLES_PER_STEP ? count : SAMPLES_PER_STEP;
    memcpy(samples, recording->samples + 2 * recording->next, 2 * count);
    recording->next += count;
    if (ps_process_raw(recogniser->decoder, samples, count, FALSE, FALSE) < 0)
        return mr_value_fail(out, MR_ERROR_PIPELINE, "the decoder failed");
    const char *said = ps_get_hyp(recogniser->decoder, NULL);
    if (!said || *said == '\0' || (recording->said && strcmp(said, recording->said) == 0))
        return mr_later_ms(out, 0); /* nothing new; others may have a turn */
    return write_partial(recording, said, out);
}

static int transcribe(struct mr_call *call)
{
    struct recording *recording = calloc(1, sizeof *recording);
    if (!recording)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    recording->recogniser = mr_state(call);
    int rc = recording_open(recording, mr_arg_string(call, 0));
    if (rc != 0)
        recording_close(recording);
    if (rc == -EINVAL)
        return mr_fail(call, MR_ERROR_INPUT, "not 16 kHz, mono, 16 bit, as .raw, .wav or base64");
    if (rc != 0)
        return mr_fail(call, MR_ERROR_INPUT, "cannot read the recording: %s", strerror(-rc));
    const struct mr_iterator iterator = {
        .state = recording,
        .next = recording_next,
        .close = recording_close,
    };
    return mr_return_stream(call, &iterator);
}

/* ---- the model ----------------------------------------------------------------------------- */

static int load_model(struct mr_call *call)
{
    struct recogniser *recogniser = mr_state(call);
    err_set_logfp(NULL); /* pocketsphinx tells its life's story otherwise */
    recogniser->config =
        cmd_ln_init(NULL, ps_args(), TRUE, "-hmm", MODEL "en-us", "-lm", MODEL "en-us.lm.bin",
                    "-dict", MODEL "cmudict-en-us.dict", NULL);
    recogniser->decoder = recogniser->config ? ps_init(recogniser->config) : NULL;
    if (!recogniser->decoder)
        return mr_fail(call, MR_ERROR_STARTUP,
                       "no speech model in " MODEL " (Debian: apt-get install pocketsphinx-en-us)");
    return 0;
}

static void unload_model(void *state)
{
    struct recogniser *recogniser = state;
    if (recogniser->decoder)
        ps_free(recogniser->decoder);
    if (recogniser->config)
        cmd_ln_free_r(recogniser->config);
}

MR_PIPELINE(transcribe)
{
    static struct recogniser recogniser;
    mr_set_state(builder, &recogniser, unload_model);
    mr_on_startup(builder, load_model);
    mr_variable audio =
        mr_input(builder, MR_STRING, .title = "audio",
                 .description = "path of a .raw or .wav file, or base64 of samples; "
                                "16 kHz, mono, 16 bit");
    mr_output(builder, mr_pipe(builder, transcribe, MR_STREAM, audio));
}
