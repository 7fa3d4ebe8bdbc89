/* tokenizer_file.c - tokenizers that lie beside a model: which format a file has, and the files that belong to it. */
#include <string.h>

#include "base/file.h"
#include "text/internal.h"

static qn_status read_any(qn_tokenizer *t, const qn_tokenizer_files *files)
{
    const char *data = files->data;
    size_t at = 0;
    while (at < files->size && memchr(" \t\r\n", data[at], 4)) at++;
    if (at == files->size) return qn_fail(QN_ERR_FORMAT, "the file is empty");
    if (data[at] == '{') {
#if QN_WITH_JANSSON
        return qn_tokenizer_read_json(t, files);
#else
        return qn_fail(QN_ERR_UNSUPPORTED, "this build does not read tokenizer.json (QN_WITH_JANSSON is off)");
#endif
    }
    if (at == 0 && data[0] == '\n')
        return qn_fail(QN_ERR_UNSUPPORTED, "a SentencePiece model is not supported; a tokenizer.json is");
    char c = data[at];
    bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
    if (!letter)
        return qn_fail(QN_ERR_UNSUPPORTED, "neither a tokenizer.json nor lines of \"base64 rank\" (a SentencePiece "
                                           "model is not supported)");
    return qn_tokenizer_read_tiktoken(t, data, files->size);
}

qn_status qn_tokenizer_open_memory(const qn_allocator *allocator, const qn_tokenizer_files *files,
                                   qn_tokenizer **tokenizer)
{
    *tokenizer = NULL;
    qn_tokenizer *t;
    if (files->size > INT32_MAX) return qn_fail(QN_ERR_LIMIT, "a file of %zu bytes is no tokenizer", files->size);
    QN_TRY(qn_tokenizer_new(allocator, &t));
    qn_status s = read_any(t, files);
    if (s.code != QN_OK) {
        qn_tokenizer_close(t);
        return s;
    }
    *tokenizer = t;
    return s;
}

/* Opens a file in the folder of `path`, if there is one; `file` is empty otherwise. */
static qn_status open_beside(const qn_allocator *a, const char *path, const char *name, qn_file *file)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0, n = strlen(name);
    void *p;
    *file = (qn_file){0};
    QN_TRY(qn_alloc(a, folder + n + 1, 1, "path", &p));
    memcpy(p, path, folder);
    memcpy((char *)p + folder, name, n);
    (void)qn_file_open(p, file); /* it need not be there */
    qn_free(a, p);
    return qn_ok();
}

qn_status qn_tokenizer_open_file(const qn_allocator *allocator, const char *path, qn_tokenizer **tokenizer)
{
    qn_file file, config, chat_template;
    *tokenizer = NULL;
    QN_TRY(qn_file_open(path, &file));
    qn_status s = open_beside(allocator, path, "tokenizer_config.json", &config);
    if (s.code != QN_OK) {
        qn_file_close(&file);
        return s;
    }
    s = open_beside(allocator, path, "chat_template.jinja", &chat_template);
    const qn_tokenizer_files files = {
        .data = file.data,
        .size = (size_t)file.size,
        .config = config.data,
        .config_size = (size_t)config.size,
        .chat_template = chat_template.data,
        .chat_template_size = (size_t)chat_template.size,
    };
    if (s.code == QN_OK) s = qn_in(qn_tokenizer_open_memory(allocator, &files, tokenizer), "%s", path);
    qn_file_close(&chat_template);
    qn_file_close(&config);
    qn_file_close(&file);
    return s;
}
