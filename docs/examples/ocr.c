/* SPDX-License-Identifier: MIT */
/*
 * ocr.c - the text of a picture, a line as soon as it is recognised (tesseract).
 *
 *     cc -shared -fPIC ocr.c -o ocr.so $(pkg-config --cflags millrace) \
 *        $(pkg-config --cflags --libs tesseract)
 *     millrace serve ocr.so --files files --preload startup --env OMP_THREAD_LIMIT=1
 *     millrace run local/ocr:v1 @page.png eng page --json
 *
 * The inputs are a PNG or JPEG file, a language and a layout; the last two can be left out. A line
 * is, with a box in pixels from the top left corner:
 *
 *     {"line":0,"of":12,"text":"Invoice 4711","confidence":0.96,
 *      "box":{"x":40,"y":35,"width":384,"height":23}}
 *
 * Languages are loaded once, before the first run: those that OCR_LANGUAGES names, such as "eng deu
 * eng+deu", and "eng" where it is not set (Debian: tesseract-ocr-eng, tesseract-ocr-deu). With
 * --preload startup all workers share them.
 *
 * Lines are found first, and then each is recognised by itself: between two a run can be cancelled,
 * and others have a turn. A line takes some 20 ms, one of 28,000 pixels 1.2 s; tesseract's own
 * callback for cancelling is asked once a line, before it begins, and so of no use. Finding them
 * takes less than a second, in 16 million pixels of noise 10 s: a run that is cancelled then costs
 * the worker (--cancel-grace). A page should be upright: lines that are askew get into one
 * another's boxes.
 *
 * What a picture can take is known from its head, which is read before anything is decoded. One of
 * the largest took 220 MB at most, of noise, while its lines were found, and then a byte a pixel.
 *
 * Threads of OpenMP gain nothing here, and cost much beside other workers. OMP_THREAD_LIMIT is read
 * when the process begins, so it is for the command line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leptonica/allheaders.h>
#include <tesseract/capi.h>

#include <millrace/pipeline.h>

#define PIXEL_COUNT_MAX 16000000 /* A4 at 400 dpi */
#define SIDE_PIXELS_MAX 32767    /* what tesseract takes */
#define LANGUAGE_COUNT_MAX 8u
#define LANGUAGE_BYTES 64u
#define SCAN_COUNT_MAX 100 /* of a JPEG: a scan of 31 bytes can go over the whole picture */
#define BORDER_PIXELS 10   /* letters that touch the edge are misread */

/* One for each language, until the worker's end; runs take turns, line by line. */
struct recogniser {
    char language[LANGUAGE_BYTES];
    TessBaseAPI *api;
};

static struct {
    struct recogniser all[LANGUAGE_COUNT_MAX]; /* the first is the default */
    size_t count;
} recognisers;

static const struct layout {
    const char *name;
    TessPageSegMode mode;
} layouts[] = {
    {"page", PSM_AUTO}, /* columns, headings, pictures: whatever there is */
    {"column", PSM_SINGLE_COLUMN},
    {"block", PSM_SINGLE_BLOCK},
    {"line", PSM_SINGLE_LINE},
    {"sparse", PSM_SPARSE_TEXT}, /* text here and there, in no order */
};
#define LAYOUTS "[\"page\",\"column\",\"block\",\"line\",\"sparse\"]"

/* One for each run. */
struct page {
    struct recogniser *recogniser;
    TessPageSegMode mode;
    PIX *image;  /* 8 bits a pixel */
    BOXA *lines; /* in the order of reading; NULL: not found yet */
    int next;    /* line */
};

/* ---- reading a picture --------------------------------------------------------------------- */

static bool has_too_many_scans(FILE *file)
{
    int count = 0;
    rewind(file);
    for (int last = 0, byte = getc(file); byte != EOF; last = byte, byte = getc(file))
        count += last == 0xff && byte == 0xda; /* the marker SOS */
    return count > SCAN_COUNT_MAX;
}

/* Before anything is decoded. Formats of which the head does not say enough are refused. */
static int head_check(struct mr_call *call, FILE *file)
{
    l_int32 format = IFF_UNKNOWN, width = 0, height = 0, is_unreadable = 1;
    findFileFormatStream(file, &format);
    if (format == IFF_PNG)
        is_unreadable = freadHeaderPng(file, &width, &height, NULL, NULL, NULL);
    else if (format == IFF_JFIF_JPEG)
        is_unreadable = freadHeaderJpeg(file, &width, &height, NULL, NULL, NULL);
    else
        return mr_fail(call, MR_ERROR_INPUT, "the file is neither PNG nor JPEG");
    if (is_unreadable || width < 1 || height < 1)
        return mr_fail(call, MR_ERROR_INPUT, "the head of the picture is damaged");
    if (width > SIDE_PIXELS_MAX || height > SIDE_PIXELS_MAX || width > PIXEL_COUNT_MAX / height)
        return mr_fail(call, MR_ERROR_INPUT,
                       "%d x %d pixels are too many: %d each way and %d in all at most", width,
                       height, SIDE_PIXELS_MAX, PIXEL_COUNT_MAX);
    if (format == IFF_JFIF_JPEG && has_too_many_scans(file))
        return mr_fail(call, MR_ERROR_INPUT, "the picture has more than %d scans", SCAN_COUNT_MAX);
    rewind(file);
    return 0;
}

/* Grey, whatever it was; what is transparent becomes white. */
static PIX *picture_decode(FILE *file)
{
    PIX *decoded = pixReadStream(file, 0);
    PIX *opaque = decoded ? pixRemoveAlpha(decoded) : NULL;
    pixDestroy(&decoded);
    PIX *grey = opaque ? pixConvertTo8(opaque, 0) : NULL;
    pixDestroy(&opaque);
    return grey;
}

static int page_read(struct mr_call *call, struct page *page, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return mr_fail(call, MR_ERROR_INPUT, "cannot open the picture: %s", strerror(errno));
    int rc = head_check(call, file);
    if (rc == 0) {
        page->image = picture_decode(file);
        if (!page->image)
            rc = mr_fail(call, MR_ERROR_INPUT, "the picture is damaged, or not whole");
    }
    fclose(file);
    return rc;
}

/* ---- lines --------------------------------------------------------------------------------- */

static int page_find_lines(struct page *page, struct mr_value *out)
{
    TessBaseAPI *api = page->recogniser->api;
    TessBaseAPISetPageSegMode(api, page->mode);
    TessBaseAPISetImage2(api, page->image);
    page->lines = TessBaseAPIGetComponentImages(api, RIL_TEXTLINE, 1, NULL, NULL);
    TessBaseAPIClear(api);
    if (!page->lines)
        page->lines = boxaCreate(1); /* a page without text */
    if (!page->lines)
        return mr_value_fail(out, MR_ERROR_OOM, "out of memory");
    return mr_later_ms(out, 0);
}

/* A line with a border in the colour of its ground: most of a line is no letter. */
static PIX *line_cut(PIX *image, BOX *box)
{
    l_uint32 ground = 0;
    PIX *line = pixClipRectangle(image, box, NULL), *framed = NULL;
    if (line && pixGetRankValue(line, 1, 0.5f, &ground) == 0)
        framed = pixAddBorder(line, BORDER_PIXELS, ground);
    pixDestroy(&line);
    return framed;
}

static int line_write(const struct page *page, BOX *box, const char *text, struct mr_value *out)
{
    static const char *const names[] = {"x", "y", "width", "height"};
    l_int32 sides[4] = {0};
    boxGetGeometry(box, &sides[0], &sides[1], &sides[2], &sides[3]);
    mr_value_dictionary(out, 5);
    mr_value_string(out, "line", 4);
    mr_value_integer(out, page->next - 1);
    mr_value_string(out, "of", 2);
    mr_value_integer(out, boxaGetCount(page->lines));
    mr_value_string(out, "text", 4);
    mr_value_string(out, text, strcspn(text, "\n")); /* it is one line, and ends */
    mr_value_string(out, "confidence", 10);
    mr_value_fp(out, TessBaseAPIMeanTextConf(page->recogniser->api) / 100.0);
    mr_value_string(out, "box", 3);
    int rc = mr_value_dictionary(out, 4);
    for (size_t i = 0; i < 4; i++) {
        mr_value_stringf(out, "%s", names[i]);
        rc = mr_value_integer(out, sides[i]);
    }
    return rc;
}

static int line_recognise(struct page *page, BOX *box, struct mr_value *out)
{
    TessBaseAPI *api = page->recogniser->api;
    PIX *line = line_cut(page->image, box);
    if (!line)
        return mr_value_fail(out, MR_ERROR_OOM, "out of memory");
    TessBaseAPISetPageSegMode(api, PSM_SINGLE_LINE);
    TessBaseAPISetImage2(api, line); /* which takes a copy */
    pixDestroy(&line);
    char *text = TessBaseAPIGetUTF8Text(api);
    int rc;
    if (!text)
        rc = mr_value_fail(out, MR_ERROR_PIPELINE, "line %d was not recognised", page->next - 1);
    else if (text[strspn(text, " \n")] == '\0')
        rc = mr_later_ms(out, 0); /* it was no text after all */
    else
        rc = line_write(page, box, text, out);
    TessDeleteText(text);
    TessBaseAPIClear(api);
    return rc;
}

/* Finds the lines, and then recognises one each time. */
static int page_next(void *state, struct mr_value *out)
{
    struct page *page = state;
    if (!page->lines)
        return page_find_lines(page, out);
    if (page->next == boxaGetCount(page->lines))
        return MR_END;
    BOX *box = boxaGetBox(page->lines, page->next++, L_CLONE);
    int rc =
        box ? line_recognise(page, box, out) : mr_value_fail(out, MR_ERROR_OOM, "out of memory");
    boxDestroy(&box);
    return rc;
}

static void page_close(void *state)
{
    struct page *page = state;
    pixDestroy(&page->image);
    boxaDestroy(&page->lines);
}

/* ---- the pipe ------------------------------------------------------------------------------ */

static int language_find(struct mr_call *call, const char *language, struct page *page)
{
    char known[LANGUAGE_COUNT_MAX * LANGUAGE_BYTES] = "";
    for (size_t i = 0; i < recognisers.count; i++) {
        page->recogniser = &recognisers.all[i];
        if (!language || strcmp(language, page->recogniser->language) == 0)
            return 0;
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, " %s", page->recogniser->language);
    }
    return mr_fail(call, MR_ERROR_INPUT, "no such language; there are:%s", known);
}

static int layout_find(struct mr_call *call, const char *name, struct page *page)
{
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        page->mode = layouts[i].mode;
        if (strcmp(name, layouts[i].name) == 0)
            return 0;
    }
    return mr_fail(call, MR_ERROR_INPUT, "no such layout; there are: %s", LAYOUTS);
}

static int recognise(struct mr_call *call)
{
    struct page *page = mr_alloc(call, sizeof *page);
    if (!page)
        return -1; /* mr_alloc() has said why */
    int rc = language_find(call, mr_arg_string(call, 1), page);
    if (rc == 0)
        rc = layout_find(call, mr_arg_string(call, 2), page);
    if (rc == 0)
        rc = page_read(call, page, mr_arg_file(call, 0));
    if (rc != 0)
        return rc;
    const struct mr_iterator iterator = {
        .state = page,
        .next = page_next,
        .close = page_close,
    };
    return mr_return_stream(call, &iterator);
}

/* ---- the start ----------------------------------------------------------------------------- */

static int language_load(struct mr_call *call, const char *language)
{
    struct recogniser *recogniser = &recognisers.all[recognisers.count];
    if (recognisers.count == LANGUAGE_COUNT_MAX || strlen(language) >= LANGUAGE_BYTES - 1)
        return mr_fail(call, MR_ERROR_STARTUP,
                       "OCR_LANGUAGES: %u languages of %u bytes each at most", LANGUAGE_COUNT_MAX,
                       LANGUAGE_BYTES - 2);
    mr_startup_progress((double)recognisers.count / LANGUAGE_COUNT_MAX, language);
    snprintf(recogniser->language, sizeof recogniser->language, "%s", language);
    recogniser->api = TessBaseAPICreate();
    if (!recogniser->api)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    recognisers.count++;
    if (TessBaseAPIInit3(recogniser->api, NULL, language) != 0)
        return mr_fail(call, MR_ERROR_STARTUP,
                       "the language \"%s\" cannot be loaded (Debian: apt-get install "
                       "tesseract-ocr-%s)",
                       language, language);
    TessBaseAPISetVariable(recogniser->api, "debug_file", "/dev/null"); /* it says much otherwise */
    return 0;
}

static int load(struct mr_call *call)
{
    const char *said = getenv("OCR_LANGUAGES"), *threads = getenv("OMP_THREAD_LIMIT");
    char *rest, *languages = strdup(said ? said : "eng");
    int rc = 0;
    if (!languages)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    setMsgSeverity(L_SEVERITY_NONE); /* clients are told what is wrong with their pictures */
    for (char *word = strtok_r(languages, " ", &rest); word && rc == 0;
         word = strtok_r(NULL, " ", &rest))
        rc = language_load(call, word);
    free(languages);
    if (rc == 0 && recognisers.count == 0)
        rc = mr_fail(call, MR_ERROR_STARTUP, "OCR_LANGUAGES names no language");
    if (!threads || strcmp(threads, "1") != 0)
        mr_log(MR_LOG_WARNING, "slow: --env OMP_THREAD_LIMIT=1 was not said");
    return rc;
}

static void unload(void *state)
{
    (void)state;
    for (size_t i = 0; i < recognisers.count; i++)
        TessBaseAPIDelete(recognisers.all[i].api);
    recognisers.count = 0;
}

MR_PIPELINE(ocr)
{
    mr_set_state(builder, &recognisers, unload);
    mr_on_preload(builder, load);
    mr_variable image = mr_input(builder, MR_FILE, .title = "image", .description = "PNG or JPEG");
    mr_variable language =
        mr_input(builder, MR_STRING, .title = "language", .optional = true,
                 .description = "one that the server has loaded", .examples = "[\"eng\"]");
    mr_variable layout = mr_input(builder, MR_STRING, .title = "layout", .optional = true,
                                  .default_json = "\"page\"", .choices = LAYOUTS);
    mr_output(builder, mr_pipe(builder, recognise, MR_STREAM, image, language, layout));
}
