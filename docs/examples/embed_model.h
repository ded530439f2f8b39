/* SPDX-License-Identifier: MIT */
/*
 * embed_model.h - the vectors of sentences by the Universal Sentence Encoder lite, for embed.c.
 *
 * Each piece of a sentence has a vector; two transformer layers mix them; their mean goes through
 * one more layer and is made as long as 1. All sizes are those of the files, in which every name
 * and shape is looked at before it is used: with the weights of the package 8,000 pieces, vectors
 * of 256 and 512 numbers, 1,536 inside.
 *
 *   model_load()     maps the weights and reads the vocabulary
 *   batch_add()      takes a sentence, whose tokens go through each layer with those of the others
 *   batch_encode()   computes the vectors of all that were taken
 *
 * There is one model a process, and one thread that uses it. refusal has why something was refused.
 */
#ifndef EMBED_MODEL_H
#define EMBED_MODEL_H

#include <math.h>
#include <sys/mman.h>

#include "embed_text.h"

#define BATCH_TOKEN_COUNT 256u
#define HEAD_COUNT 4u
#define WIDTH_MAX 4096u
#define SHARD_COUNT_MAX 64u

/* ---- the weights --------------------------------------------------------------------------- */

enum width { ONE = 0, PIECES, NARROW_HALF, NARROW, WIDE, NARROW_3, WIDE_3, INNER, WIDTH_COUNT };

/* Behind the weights of a layer is its bias; behind a scale what is added. */
enum { EMBEDDINGS = 0, WAVES, DENSE, LAST = 4, HEADS = 6, TOKENS, LAYER_0, LAYER_1 = 20, ALL = 32 };
enum { NORM = 0, QKV = 2, JOIN = 4, INNER_NORM = 6, INNER_IN = 8, INNER_OUT = 10 }; /* of a layer */

/* clang-format off */
#define ROOT "module_apply_default/Encoder_en/KonaTransformer/"
#define CODE ROOT "Encode/"
#define STACK CODE "TransformerStack/"
#define KERNEL "module/Encoder_en/KonaTransformer/Encode/"
#define CONCAT "/ConcatPartitions/concat"
#define HEADS_OF(n) n "/TransformerLayer/MultiheadAttention/"
#define FFN_OF(n) n "/TransformerLayer/FFN/"
#define NORM_OF(n) "layer_prepostprocess/layer_norm/layer_norm_" n CONCAT
#define LAYER(at, n, width, width_3)                                                               \
    [(at) + NORM] =           {CODE n "/TransformerLayer/" NORM_OF("scale"), ONE, width},          \
    [(at) + NORM + 1] =       {CODE n "/TransformerLayer/" NORM_OF("bias"), ONE, width},           \
    [(at) + QKV] =            {KERNEL HEADS_OF(n) "qkv_transform_single/kernel/part_0",            \
                               width, width_3},                                                    \
    [(at) + QKV + 1] =        {CODE HEADS_OF(n) "qkv_transform_single/bias" CONCAT, ONE, width_3}, \
    [(at) + JOIN] =           {KERNEL HEADS_OF(n) "output_transform_single/kernel/part_0",         \
                               width, WIDE},                                                       \
    [(at) + JOIN + 1] =       {CODE HEADS_OF(n) "output_transform_single/bias" CONCAT, ONE, WIDE}, \
    [(at) + INNER_NORM] =     {CODE FFN_OF(n) NORM_OF("scale"), ONE, WIDE},                        \
    [(at) + INNER_NORM + 1] = {CODE FFN_OF(n) NORM_OF("bias"), ONE, WIDE},                         \
    [(at) + INNER_IN] =       {STACK FFN_OF(n) "conv1/Tensordot/Reshape_1", WIDE, INNER},          \
    [(at) + INNER_IN + 1] =   {CODE FFN_OF(n) "conv1/bias" CONCAT, ONE, INNER},                    \
    [(at) + INNER_OUT] =      {STACK FFN_OF(n) "conv2/Tensordot/Reshape_1", INNER, WIDE},          \
    [(at) + INNER_OUT + 1] =  {CODE FFN_OF(n) "conv2/bias" CONCAT, ONE, WIDE}

static const struct {
    const char *name;
    enum width rows, columns;
} tensors[ALL] = {
    [EMBEDDINGS] = {"module/Embeddings_en", PIECES, NARROW},
    [WAVES] =      {STACK "Layer_0/AddTimingSignal/TimingSignal/ExpandDims_1", ONE, NARROW_HALF},
    [DENSE] =      {CODE "Layer_0/TransformerLayer/dense/kernel" CONCAT, NARROW, WIDE},
    [DENSE + 1] =  {CODE "Layer_0/TransformerLayer/dense/bias" CONCAT, ONE, WIDE},
    [LAST] =       {"module/Encoder_en/hidden_layers/tanh_layer_0/weights", WIDE, WIDE},
    [LAST + 1] =   {"module/Encoder_en/hidden_layers/tanh_layer_0/bias", ONE, WIDE},
    [HEADS] =      {STACK HEADS_OF("Layer_1") "split_heads/split_last_dimension/Reshape/shape/2",
                    ONE, ONE},
    [TOKENS] =     {ROOT "ClipToMaxLength/Less/y", ONE, ONE},
    LAYER(LAYER_0, "Layer_0", NARROW, NARROW_3),
    LAYER(LAYER_1, "Layer_1", WIDE, WIDE_3),
};
/* clang-format on */

/* Of this process; or of a template, for all that are copies of it. */
static struct model {
    const char *folder;
    const float *tensors[ALL];
    size_t shapes[ALL][2]; /* the product of all sizes but the last, and the last */
    size_t widths[WIDTH_COUNT];
    char *bytes; /* the files, one after another */
    size_t byte_count;
    float *x, *sum, *norm, *inner; /* of a batch: a row for each token */
} model;

/* One tensor of the manifest, whose bytes begin at `*offset`. */
static int tensor_read(const char **at, size_t *offset)
{
    char key[NAME_BYTES], name[NAME_BYTES] = "", type[NAME_BYTES] = "";
    size_t shape[2] = {1, 1}; /* all but the last; the last */
    double number;
    if (!json_take(at, '{'))
        return refuse("model.json: a weight is no object");
    while (json_goes_on(at, '}')) {
        bool is_sound = json_string(at, key, sizeof key) && json_take(at, ':');
        if (is_sound && strcmp(key, "name") == 0) {
            is_sound = json_string(at, name, sizeof name);
        } else if (is_sound && strcmp(key, "dtype") == 0) {
            is_sound = json_string(at, type, sizeof type);
        } else if (is_sound && strcmp(key, "shape") == 0) {
            for (is_sound = json_take(at, '['); is_sound && json_goes_on(at, ']');) {
                shape[0] *= shape[1];
                is_sound = json_number(at, &number) && number >= 1 && number < 1 << 20 &&
                           shape[0] < FILE_BYTES_MAX;
                shape[1] = is_sound ? (size_t)number : 1;
            }
        } else {
            is_sound = false; /* "quantization" too */
        }
        if (!is_sound)
            return refuse("model.json: what is said of weight \"%s\" is not known", name);
    }
    bool is_float = strcmp(type, "float32") == 0;
    if (!is_float && strcmp(type, "int32") != 0)
        return refuse("model.json: %s is of type \"%s\"", name, type);
    for (size_t i = 0; i < ALL; i++)
        if (strcmp(tensors[i].name, name) == 0 && is_float == (i != HEADS && i != TOKENS)) {
            model.tensors[i] = (const float *)(const void *)(model.bytes + *offset);
            memcpy(model.shapes[i], shape, sizeof shape);
        }
    if (shape[0] * shape[1] > (model.byte_count - *offset) / sizeof(float))
        return refuse("model.json: %s is longer than its files", name);
    *offset += shape[0] * shape[1] * sizeof(float);
    return 0;
}

/* Maps the files of the manifest one behind the other, as if they were one. Nothing is copied, so
 * whoever cuts one of them short later ends the process (SIGBUS). */
static int shards_map(const char **at)
{
    int fds[SHARD_COUNT_MAX], rc = 0;
    size_t sizes[SHARD_COUNT_MAX], count = 0, page = (size_t)sysconf(_SC_PAGESIZE), total = 0;
    char name[NAME_BYTES], path[PATH_MAX];
    bool is_list = json_take(at, '[');
    while (rc == 0 && is_list && json_goes_on(at, ']')) {
        struct stat about = {.st_size = 0};
        if (count == SHARD_COUNT_MAX || !json_string(at, name, sizeof name) || strchr(name, '/'))
            rc = refuse("model.json: the paths are no list of files");
        else if (total % page != 0)
            rc = refuse("%s follows a file that is no multiple of %zu bytes", name, page);
        if (rc != 0)
            break;
        snprintf(path, sizeof path, "%s/%s", model.folder, name);
        fds[count] = open(path, O_RDONLY | O_CLOEXEC);
        if (fds[count] == -1 || fstat(fds[count], &about) == -1)
            rc = refuse("%s: %s", name, strerror(errno));
        else if (!S_ISREG(about.st_mode) || about.st_size < 1 || about.st_size > FILE_BYTES_MAX)
            rc = refuse("%s: no file of 1 to %u bytes", name, FILE_BYTES_MAX);
        sizes[count++] = (size_t)about.st_size;
        total += (size_t)about.st_size;
    }
    char *bytes = MAP_FAILED;
    if (rc == 0 && total > 0)
        bytes = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rc == 0 && bytes == MAP_FAILED)
        rc = refuse("the weights cannot be mapped: %s", total > 0 ? strerror(errno) : "no files");
    for (size_t i = 0, offset = 0; i < count; offset += sizes[i++]) {
        if (rc == 0 && mmap(bytes + offset, sizes[i], PROT_READ, MAP_PRIVATE | MAP_FIXED, fds[i],
                            0) == MAP_FAILED)
            rc = refuse("the weights cannot be mapped: %s", strerror(errno));
        if (fds[i] != -1)
            close(fds[i]);
    }
    model.bytes = bytes;
    model.byte_count = rc == 0 ? total : 0;
    return rc;
}

/* Finds the sizes that the others follow from, and holds all tensors against them. */
static int model_check(void)
{
    size_t *widths = model.widths;
    for (size_t i = 0; i < ALL; i++)
        if (!model.tensors[i])
            return refuse("model.json has no weights \"%s\"", tensors[i].name);
    memcpy(widths,
           (size_t[]){[ONE] = 1,
                      [PIECES] = model.shapes[EMBEDDINGS][0],
                      [NARROW] = model.shapes[EMBEDDINGS][1],
                      [NARROW_HALF] = model.shapes[EMBEDDINGS][1] / 2,
                      [NARROW_3] = model.shapes[EMBEDDINGS][1] * 3,
                      [WIDE] = model.shapes[LAST][1],
                      [WIDE_3] = model.shapes[LAST][1] * 3,
                      [INNER] = model.shapes[LAYER_0 + INNER_IN][1]},
           sizeof model.widths);
    for (size_t i = 0; i < ALL; i++) {
        size_t rows = widths[tensors[i].rows], columns = widths[tensors[i].columns];
        if (model.shapes[i][0] != rows || model.shapes[i][1] != columns)
            return refuse("%s: %zu rows of %zu instead of %zu of %zu", tensors[i].name,
                          model.shapes[i][0], model.shapes[i][1], rows, columns);
        for (size_t k = 0; k < rows * columns; k++)
            if (i != HEADS && i != TOKENS && !isfinite(model.tensors[i][k]))
                return refuse("%s: number %zu is not finite", tensors[i].name, k);
    }
    int32_t head_count, token_count;
    memcpy(&head_count, model.tensors[HEADS], sizeof head_count);
    memcpy(&token_count, model.tensors[TOKENS], sizeof token_count);
    if (head_count != HEAD_COUNT || token_count != TOKEN_COUNT_MAX)
        return refuse("%d heads and %d tokens instead of %u and %u", head_count, token_count,
                      HEAD_COUNT, TOKEN_COUNT_MAX);
    size_t odd = widths[NARROW] % 32 + widths[WIDE] % 32 + widths[INNER] % 32;
    if (odd > 0 || widths[NARROW] > widths[WIDE] || widths[WIDE] > WIDTH_MAX ||
        widths[INNER] > WIDTH_MAX || widths[PIECES] < vocabulary.count)
        return refuse("%zu pieces, and vectors of %zu, %zu and %zu numbers", widths[PIECES],
                      widths[NARROW], widths[WIDE], widths[INNER]);
    return 0;
}

static int weights_load(void)
{
    char *text = file_read(model.folder, "model.json");
    if (!text)
        return -EINVAL;
    const char *group = text;
    bool is_found = json_find(&group, "weightsManifest") && json_take(&group, '[');
    const char *paths = group, *weights = group;
    is_found = is_found && json_find(&paths, "paths") && json_find(&weights, "weights") &&
               json_take(&weights, '[');
    int rc = is_found ? shards_map(&paths) : refuse("model.json has no weightsManifest");
    size_t offset = 0;
    while (rc == 0 && json_goes_on(&weights, ']'))
        rc = tensor_read(&weights, &offset);
    if (rc == 0 && offset != model.byte_count)
        rc = refuse("the weights have %zu bytes instead of %zu", model.byte_count, offset);
    free(text);
    return rc == 0 ? model_check() : rc;
}

/* ---- the layers ---------------------------------------------------------------------------- */

/* Eight numbers at any place; the compiler makes of it what the processor has. */
typedef float lanes __attribute__((vector_size(32), aligned(4), may_alias));

#define ROWS 4     /* that are multiplied at once; a batch has room for as many more */
#define COLUMNS 16 /* likewise; widths are multiples of 32 */

#if defined __x86_64__ && defined __GNUC__ && !defined __clang__
#define FAST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FAST
#endif

/* y = x * weights + bias, of rows one after another. */
FAST static void multiply(const float *x, size_t rows, size_t width, size_t pair, float *y)
{
    const float *weights = model.tensors[pair], *bias = model.tensors[pair + 1];
    const size_t columns = model.shapes[pair][1];
    for (size_t column = 0; column < columns; column += COLUMNS) {
        for (size_t row = 0; row < rows; row += ROWS) {
            const float *a = x + row * width, *b = a + width, *c = b + width, *d = c + width;
            const lanes *start = (const lanes *)(bias + column);
            lanes a0 = start[0], b0 = a0, c0 = a0, d0 = a0;
            lanes a1 = start[1], b1 = a1, c1 = a1, d1 = a1;
            for (size_t i = 0; i < width; i++) {
                const lanes *weight = (const lanes *)(weights + i * columns + column);
                const lanes w0 = weight[0], w1 = weight[1];
                a0 += a[i] * w0, a1 += a[i] * w1;
                b0 += b[i] * w0, b1 += b[i] * w1;
                c0 += c[i] * w0, c1 += c[i] * w1;
                d0 += d[i] * w0, d1 += d[i] * w1;
            }
            const lanes sums[ROWS][2] = {{a0, a1}, {b0, b1}, {c0, c1}, {d0, d1}};
            for (size_t i = 0; i < ROWS; i++)
                memcpy(y + (row + i) * columns + column, sums[i], sizeof sums[i]);
        }
    }
}

/* The sum of the products, of a multiple of 8. */
static float dot(const float *a, const float *b, size_t count)
{
    lanes sums = {0};
    float sum = 0;
    for (size_t i = 0; i < count; i += 8)
        sums += *(const lanes *)(a + i) * *(const lanes *)(b + i);
    for (size_t i = 0; i < 8; i++)
        sum += sums[i];
    return sum;
}

/* Each row less its mean, over its deviation, scaled and moved. */
static void normalise(const float *x, size_t rows, size_t width, size_t pair, float *y)
{
    const float *scale = model.tensors[pair], *bias = model.tensors[pair + 1];
    for (; rows > 0; rows--, x += width, y += width) {
        float mean = 0, square = 0;
        for (size_t i = 0; i < width; i++)
            mean += x[i] / (float)width;
        for (size_t i = 0; i < width; i++)
            square += (x[i] - mean) * (x[i] - mean) / (float)width;
        for (size_t i = 0; i < width; i++)
            y[i] = (x[i] - mean) * scale[i] / sqrtf(square + 1e-6f) + bias[i];
    }
}

static void add(float *x, const float *more, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] += more[i];
}

/* What one head of a token takes from all tokens of its sentence, by how well their keys fit. */
static void attend(const float *query, const float *keys, size_t tokens, size_t width, float *out)
{
    const size_t head = width / HEAD_COUNT;
    float weights[TOKEN_COUNT_MAX], greatest = -INFINITY, sum = 0;
    for (size_t i = 0; i < tokens; i++) {
        weights[i] = dot(query, keys + i * 3 * width, head) / sqrtf((float)head);
        greatest = fmaxf(greatest, weights[i]);
    }
    for (size_t i = 0; i < tokens; i++)
        sum += weights[i] = expf(weights[i] - greatest);
    memset(out, 0, head * sizeof *out);
    for (size_t i = 0; i < tokens; i++)
        for (size_t k = 0; k < head; k++)
            out[k] += weights[i] / sum * keys[i * 3 * width + width + k];
}

/* ---- a batch ------------------------------------------------------------------------------- */

static struct batch {
    size_t sentence_count, token_count;
    size_t ends[BATCH_TOKEN_COUNT]; /* of sentences: the token after their last */
    uint16_t tokens[BATCH_TOKEN_COUNT + TOKEN_COUNT_MAX];
} batch;

/* 1: it was taken; 0: encode those first that are there; -EINVAL: refused. */
static int batch_add(const char *sentence, size_t count)
{
    static struct text text;
    if (batch.token_count > BATCH_TOKEN_COUNT - TOKEN_COUNT_MAX)
        return 0;
    int rc = text_prepare(&text, sentence, count);
    if (rc != 0)
        return rc;
    batch.token_count += text_cut(&text, batch.tokens + batch.token_count);
    batch.ends[batch.sentence_count++] = batch.token_count;
    return 1;
}

/* x += what the tokens of each sentence tell each other, and what each then makes of it. */
static void layer_run(size_t layer, size_t width)
{
    const size_t rows = batch.token_count, wide = model.widths[WIDE], inner = model.widths[INNER];
    float *x = model.x, *norm = model.norm, *wider = model.inner;
    normalise(x, rows, width, layer + NORM, norm);
    multiply(norm, rows, width, layer + QKV, wider);
    if (width != wide) {
        multiply(x, rows, width, DENSE, model.sum);
        memcpy(x, model.sum, rows * wide * sizeof *x);
    }
    for (size_t sentence = 0, row = 0, start = 0; row < rows; row++) {
        if (row == batch.ends[sentence])
            start = batch.ends[sentence++];
        for (size_t at = 0; at < width; at += width / HEAD_COUNT)
            attend(wider + row * 3 * width + at, wider + start * 3 * width + width + at,
                   batch.ends[sentence] - start, width, norm + row * width + at);
    }
    multiply(norm, rows, width, layer + JOIN, model.sum);
    add(x, model.sum, rows * wide);
    normalise(x, rows, wide, layer + INNER_NORM, norm);
    multiply(norm, rows, wide, layer + INNER_IN, wider);
    for (size_t i = 0; i < rows * inner; i++)
        wider[i] = fmaxf(wider[i], 0);
    multiply(wider, rows, inner, layer + INNER_OUT, model.sum);
    add(x, model.sum, rows * wide);
}

/* A token's vector twice, and waves of its place in the sentence. */
static void tokens_embed(void)
{
    const size_t width = model.widths[NARROW], half = model.widths[NARROW_HALF];
    for (size_t sentence = 0, row = 0, start = 0; row < batch.token_count; row++) {
        if (row == batch.ends[sentence])
            start = batch.ends[sentence++];
        float *x = model.x + row * width;
        for (size_t i = 0; i < half; i++) {
            float angle = (float)(row - start) * model.tensors[WAVES][i];
            x[i] = sinf(angle);
            x[half + i] = cosf(angle);
        }
        for (size_t i = 0; i < width; i++)
            x[i] += 2 * model.tensors[EMBEDDINGS][batch.tokens[row] * width + i];
    }
}

/* A vector for each sentence that was taken, one after another; the batch is empty then. */
static void batch_encode(float *vectors)
{
    const size_t width = model.widths[WIDE], count = batch.sentence_count;
    tokens_embed();
    layer_run(LAYER_0, model.widths[NARROW]);
    layer_run(LAYER_1, width);
    memset(model.norm, 0, count * width * sizeof *vectors);
    for (size_t i = 0, row = 0; i < count; i++) {
        float share = 1 / (float)(batch.ends[i] - row);
        for (; row < batch.ends[i]; row++)
            for (size_t k = 0; k < width; k++)
                model.norm[i * width + k] += model.x[row * width + k] * share;
    }
    multiply(model.norm, count, width, LAST, model.sum);
    for (size_t i = 0; i < count * width; i++)
        model.sum[i] = tanhf(model.sum[i]);
    for (size_t i = 0; i < count; i++) {
        const float *vector = model.sum + i * width;
        float length = sqrtf(fmaxf(dot(vector, vector, width), 1e-12f));
        for (size_t k = 0; k < width; k++)
            vectors[i * width + k] = vector[k] / length;
    }
    batch.sentence_count = batch.token_count = 0;
}

/* ---- the start ----------------------------------------------------------------------------- */

/* Until the end of the process. */
static int model_load(const char *folder)
{
    model.folder = folder;
    int rc = vocabulary_load(folder);
    if (rc == 0)
        rc = weights_load();
    if (rc != 0)
        return rc;
    const size_t rows = BATCH_TOKEN_COUNT + ROWS, wide = model.widths[WIDE];
    const size_t wider = model.widths[INNER] > 3 * wide ? model.widths[INNER] : 3 * wide;
    model.x = calloc(rows * wide, sizeof(float));
    model.sum = calloc(rows * wide, sizeof(float));
    model.norm = calloc(rows * wide, sizeof(float));
    model.inner = calloc(rows * wider, sizeof(float));
    bool is_whole = model.x && model.sum && model.norm && model.inner;
    return is_whole ? 0 : refuse("out of memory");
}

#endif
