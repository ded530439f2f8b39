/* SPDX-License-Identifier: MIT */
/*
 * embed_text.h - the pieces that a sentence is cut into, by vocab.json, for embed.c.
 *
 * The pieces are the package's to the last one, the oddities of its files included: a score of null
 * is 0, and that of ":30" is 30. What of Unicode is left out is said in embed.c.
 */
#ifndef EMBED_TEXT_H
#define EMBED_TEXT_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_COUNT_MAX 128u /* of a sentence; the model's own bound */
#define SENTENCE_BYTES_MAX 16384u
#define TEXT_BYTES_MAX (3 * SENTENCE_BYTES_MAX + 8) /* a space becomes three bytes */
#define PIECE_COUNT_MAX 32768u
#define PIECE_BYTES_MAX 64u
#define RESERVED_PIECES 6u /* at the beginning; no text has them */
#define FILE_BYTES_MAX (64u << 20)
#define NAME_BYTES 256u

/* ---- files --------------------------------------------------------------------------------- */

/* Why something was refused. */
static char refusal[2 * NAME_BYTES];

__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(refusal, sizeof refusal, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

/* The whole file and a NUL, which the caller frees; NULL: refused. */
static char *file_read(const char *folder, const char *name)
{
    char path[PATH_MAX];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1 || fstat(fd, &about) == -1) {
        refuse("%s: %s", name, strerror(errno));
    } else if (!S_ISREG(about.st_mode) || about.st_size > FILE_BYTES_MAX) {
        refuse("%s: no file of at most %u bytes", name, FILE_BYTES_MAX);
    } else if (!(text = calloc(1, (size_t)about.st_size + 1))) {
        refuse("%s: out of memory", name);
    } else if (read(fd, text, (size_t)about.st_size) != about.st_size) {
        refuse("%s: cannot be read", name);
        free(text);
        text = NULL;
    }
    if (fd != -1)
        close(fd);
    return text;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* Each moves a place in a text that ends with a NUL, and says whether there was what it takes. */

static char json_peek(const char **at)
{
    *at += strspn(*at, " \t\r\n");
    return **at;
}

static bool json_take(const char **at, char c)
{
    if (json_peek(at) != c)
        return false;
    ++*at;
    return true;
}

/* Whether a list has one more. At the end of the text it has, which then is not there. */
static bool json_goes_on(const char **at, char end)
{
    json_take(at, ',');
    return !json_take(at, end);
}

/* Of fewer than `bytes`. \u is not known: the files have letters as they are. */
static bool json_string(const char **at, char *text, size_t bytes)
{
    size_t count = 0;
    if (!json_take(at, '"'))
        return false;
    for (; **at != '"'; ++*at) {
        static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
        char letter = **at;
        if (letter == '\\') {
            const char *found = *++*at == '\0' ? NULL : strchr(escapes, **at);
            letter = found ? found[1] : '\0';
        }
        if (letter == '\0' || count + 1 >= bytes)
            return false;
        text[count++] = letter;
    }
    ++*at;
    text[count] = '\0';
    return true;
}

/* null is 0. */
static bool json_number(const char **at, double *number)
{
    char *end;
    bool is_null = json_peek(at) == 'n' && strncmp(*at, "null", 4) == 0;
    *number = is_null ? 0 : strtod(*at, &end);
    bool is_there = is_null || (end != *at && isfinite(*number));
    *at = is_null ? *at + 4 : end;
    return is_there;
}

/* Any value. */
static bool json_skip(const char **at)
{
    size_t depth = 0;
    do {
        char c = json_peek(at);
        if (c == '"') {
            for (++*at; **at != '"' && **at != '\0'; ++*at)
                *at += (*at)[0] == '\\' && (*at)[1] != '\0';
        } else if (c != '\0' && !strchr("{}[],:", c)) {
            *at += strcspn(*at, "{}[],: \t\r\n") - 1;
        }
        if (**at == '\0' || (depth == 0 && strchr("}],:", c)))
            return false;
        ++*at;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
    } while (depth > 0);
    return true;
}

/* Goes to what an object has under `key`. */
static bool json_find(const char **at, const char *key)
{
    char found[NAME_BYTES];
    bool is_sound = json_take(at, '{');
    while (is_sound && json_goes_on(at, '}')) {
        is_sound = json_string(at, found, sizeof found) && json_take(at, ':');
        if (is_sound && strcmp(found, key) == 0)
            return true;
        is_sound = is_sound && json_skip(at);
    }
    return false;
}

/* ---- letters ------------------------------------------------------------------------------- */

/* Of the letter that begins with `c`; of what begins none, 1. */
static size_t utf8_bytes(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

static uint32_t utf8_read(const char *at, size_t bytes)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)*at & masks[bytes];
    for (size_t i = 1; i < bytes; i++)
        code = code << 6 | ((unsigned char)at[i] & 0x3f);
    return code;
}

/* Of the letter that ends before `end`. */
static size_t utf8_before(const char *text, size_t end)
{
    size_t bytes = 1;
    while (bytes < end && (text[end - bytes] & 0xc0) == 0x80)
        bytes++;
    return bytes;
}

/* ---- pieces of words ----------------------------------------------------------------------- */

static struct vocabulary {
    char (*pieces)[PIECE_BYTES_MAX];
    double *scores;
    size_t count;
    uint16_t places[2 * PIECE_COUNT_MAX]; /* of pieces, by their hash; 0: of none */
} vocabulary;

#define HASH_START 2166136261u

static uint32_t hash_more(uint32_t hash, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 16777619u; /* FNV-1a */
    return hash;
}

/* Where the number of these bytes is, or would be. Half of the places at least are free. */
static uint16_t *piece_place(uint32_t hash, const char *bytes, size_t count)
{
    const uint32_t mask = 2 * PIECE_COUNT_MAX - 1;
    for (uint32_t at = hash & mask;; at = (at + 1) & mask) {
        uint16_t *place = &vocabulary.places[at];
        const char *piece = vocabulary.pieces[*place];
        if (*place == 0 || (memcmp(piece, bytes, count) == 0 && piece[count] == '\0'))
            return place;
    }
}

/* [["PIECE", SCORE], ...]; of two that are the same the last one counts. */
static int vocabulary_load(const char *folder)
{
    char *text = file_read(folder, "vocab.json");
    const char *at = text;
    int rc = text ? 0 : -EINVAL;
    vocabulary.pieces = calloc(PIECE_COUNT_MAX, sizeof *vocabulary.pieces);
    vocabulary.scores = calloc(PIECE_COUNT_MAX, sizeof *vocabulary.scores);
    if (rc == 0 && (!vocabulary.pieces || !vocabulary.scores || !json_take(&at, '[')))
        rc = refuse("vocab.json is no list, or memory is short");
    while (rc == 0 && json_goes_on(&at, ']')) {
        size_t number = vocabulary.count;
        if (number == PIECE_COUNT_MAX || !json_take(&at, '[') ||
            !json_string(&at, vocabulary.pieces[number], PIECE_BYTES_MAX) || !json_take(&at, ',') ||
            !json_number(&at, &vocabulary.scores[number]) || !json_take(&at, ']')) {
            rc = refuse("vocab.json: piece %zu is not known", number);
        } else if (++vocabulary.count > RESERVED_PIECES) {
            const char *piece = vocabulary.pieces[number];
            size_t bytes = strlen(piece);
            *piece_place(hash_more(HASH_START, piece, bytes), piece, bytes) = (uint16_t)number;
        }
    }
    free(text);
    return rc;
}

/* What stays as it is in NFKC, whatever is beside it. */
static const uint32_t stable[][2] = {
    {0x01, 0x9f},     {0xa1, 0xa7},     {0xa9, 0xa9},       {0xab, 0xae},       {0xb0, 0xb1},
    {0xb6, 0xb7},     {0xbb, 0xbb},     {0xbf, 0x131},      {0x134, 0x13e},     {0x141, 0x148},
    {0x14a, 0x17e},   {0x180, 0x1c3},   {0x1cd, 0x1f0},     {0x1f4, 0x2af},     {0x388, 0x3cf},
    {0x400, 0x482},   {0x48a, 0x52f},   {0x531, 0x556},     {0x561, 0x586},     {0x5d0, 0x5ea},
    {0x621, 0x64a},   {0x660, 0x66f},   {0x10d0, 0x10fa},   {0x1e00, 0x1e99},   {0x1ea0, 0x1ef9},
    {0x200b, 0x2010}, {0x2012, 0x2016}, {0x2018, 0x2023},   {0x2027, 0x202e},   {0x2030, 0x2032},
    {0x2038, 0x203b}, {0x203f, 0x2046}, {0x20a0, 0x20a7},   {0x20a9, 0x20bf},   {0x2190, 0x222b},
    {0x2231, 0x2328}, {0x232b, 0x2426}, {0x2500, 0x27bf},   {0x2b00, 0x2bff},   {0x3001, 0x3029},
    {0x3041, 0x3096}, {0x30a1, 0x30fa}, {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xac00, 0xd7a3},
    {0xfe00, 0xfe0f}, {0xfffd, 0xfffd}, {0x1f300, 0x1f5ff}, {0x1f600, 0x1faff},
};

/* What becomes something else. */
static const struct {
    uint32_t first, last;
    const char *text;
} changed[] = {
    {0xa0, 0xa0, " "},           {0xa8, 0xa8, " \u0308"},  {0xaa, 0xaa, "a"},
    {0xaf, 0xaf, " \u0304"},     {0xb2, 0xb2, "2"},        {0xb3, 0xb3, "3"},
    {0xb4, 0xb4, " \u0301"},     {0xb5, 0xb5, "\u03bc"},   {0xb8, 0xb8, " \u0327"},
    {0xb9, 0xb9, "1"},           {0xba, 0xba, "o"},        {0xbc, 0xbc, "1\u20444"},
    {0xbd, 0xbd, "1\u20442"},    {0xbe, 0xbe, "3\u20444"}, {0x132, 0x132, "IJ"},
    {0x133, 0x133, "ij"},        {0x17f, 0x17f, "s"},      {0x2000, 0x200a, " "},
    {0x2011, 0x2011, "\u2010"},  {0x2024, 0x2024, "."},    {0x2025, 0x2025, ".."},
    {0x2026, 0x2026, "..."},     {0x202f, 0x202f, " "},    {0x2033, 0x2033, "\u2032\u2032"},
    {0x203c, 0x203c, "!!"},      {0x2047, 0x2047, "??"},   {0x2048, 0x2048, "?!"},
    {0x2049, 0x2049, "!?"},      {0x205f, 0x205f, " "},    {0x2103, 0x2103, "\u00b0C"},
    {0x2109, 0x2109, "\u00b0F"}, {0x2116, 0x2116, "No"},   {0x2122, 0x2122, "TM"},
    {0x2126, 0x2126, "\u03a9"},  {0x212a, 0x212a, "K"},    {0x212b, 0x212b, "\u00c5"},
    {0x3000, 0x3000, " "},       {0xfb00, 0xfb00, "ff"},   {0xfb01, 0xfb01, "fi"},
    {0xfb02, 0xfb02, "fl"},      {0xfb03, 0xfb03, "ffi"},  {0xfb04, 0xfb04, "ffl"},
    {0xfb05, 0xfb06, "st"},
};

/* NULL: not known. */
static const char *letter_normalise(const char *at, size_t bytes, char plain[5])
{
    uint32_t code = utf8_read(at, bytes);
    memcpy(plain, at, bytes);
    plain[bytes] = '\0';
    for (size_t i = 0; i < sizeof stable / sizeof stable[0]; i++)
        if (code >= stable[i][0] && code <= stable[i][1])
            return plain;
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++)
        if (code >= changed[i].first && code <= changed[i].last)
            return changed[i].text;
    if (code < 0xff01 || code > 0xff5e)
        return NULL;
    plain[0] = (char)(code - 0xff01 + '!');
    plain[1] = '\0';
    return plain;
}

#define SPACE "\u2581" /* what a space is in the vocabulary */

/* A sentence as the vocabulary has it: a word begins with its space, the first one, too. */
struct text {
    size_t count;
    char bytes[TEXT_BYTES_MAX + PIECE_BYTES_MAX];
};

static int text_prepare(struct text *text, const char *sentence, size_t count)
{
    if (count == 0 || count > SENTENCE_BYTES_MAX)
        return refuse("%zu bytes: a sentence has from 1 to %u", count, SENTENCE_BYTES_MAX);
    text->count = sizeof SPACE - 1;
    memcpy(text->bytes, SPACE, text->count);
    for (size_t at = 0, bytes; at < count; at += bytes) {
        char plain[5];
        bytes = utf8_bytes(sentence[at]);
        const char *letter =
            at + bytes > count ? NULL : letter_normalise(sentence + at, bytes, plain);
        if (!letter)
            return refuse("the NFKC form of the character at byte %zu is not known here", at);
        for (size_t i = 0; letter[i] != '\0'; i++) {
            const char *byte = letter[i] == ' ' ? SPACE : &letter[i];
            size_t width = letter[i] == ' ' ? sizeof SPACE - 1 : 1;
            memcpy(text->bytes + text->count, byte, width);
            text->count += width;
        }
    }
    return 0;
}

/* Cuts a text into the pieces whose scores have the greatest sum, and says how many. As in the
 * package, a letter that begins no piece is unknown, piece 0, of score 0; unknown ones that follow
 * each other are one; and a sum of exactly 0 gives way to any other. */
static size_t text_cut(const struct text *text, uint16_t tokens[TOKEN_COUNT_MAX])
{
    static double best[TEXT_BYTES_MAX + 1];
    static uint16_t last[TEXT_BYTES_MAX + 1], path[TEXT_BYTES_MAX];
    memset(best, 0, sizeof best[0] * (text->count + 1));
    memset(last, 0, sizeof last[0] * (text->count + 1));
    for (size_t at = 0; at < text->count; at += utf8_bytes(text->bytes[at])) {
        uint32_t hash = HASH_START;
        bool is_known = false;
        for (size_t end = at, next; end < text->count; end = next) {
            next = end + utf8_bytes(text->bytes[end]);
            if (next - at >= PIECE_BYTES_MAX)
                break;
            hash = hash_more(hash, text->bytes + end, next - end);
            uint16_t piece = *piece_place(hash, text->bytes + at, next - at);
            double score = best[at] + vocabulary.scores[piece];
            if (piece != 0 && (best[next] == 0 || score >= best[next])) {
                best[next] = score;
                last[next] = piece;
            }
            is_known = is_known || piece != 0;
        }
        size_t next = at + utf8_bytes(text->bytes[at]);
        if (!is_known && (best[next] == 0 || best[at] >= best[next])) {
            best[next] = best[at];
            last[next] = 0;
        }
    }
    size_t count = 0;
    for (size_t end = text->count; end > 0;) {
        uint16_t piece = last[end];
        if (piece != 0 || count == 0 || path[count - 1] != 0)
            path[count++] = piece;
        end -= piece == 0 ? utf8_before(text->bytes, end) : strlen(vocabulary.pieces[piece]);
    }
    size_t kept = count < TOKEN_COUNT_MAX ? count : TOKEN_COUNT_MAX;
    for (size_t i = 0; i < kept; i++)
        tokens[i] = path[count - 1 - i];
    return kept;
}

#endif
