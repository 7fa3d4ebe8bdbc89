#!/usr/bin/env python3
"""Writes tests/data/tokenizers: small tokenizers of every kind of component that Quern reads, trained here on the text
below, and what Hugging Face's `tokenizers` (0.23.3) and OpenAI's `tiktoken` (0.14.0) make of a list of strings.

usage: make_tokenizer_goldens.py OUT_DIR      (needs: pip install tokenizers tiktoken)

NAME/tokenizer.json or tokenizer.model; NAME/cases.json: {"cases": [{text, ids, plain, decoded}], "decode": [{ids,
text}]}. ids: special tokens in the text are read; plain: they are text; decoded: what ids decode to, null where it is
not the tokens' text: `tokenizers` takes an added token's letters outside ASCII for bytes of its alphabet, and its
Metaspace leaves out all spaces of a first token.
"""
import base64
import json
import os
import random
import sys

import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

# Written for this file; the words are nobody's.
TEXT = """
The old miller kept three cats, and the cats kept the mill. "We'll see," said the grey one; "they're only mice."
In the year 1842 the river rose 17 feet; in 1843 it didn't. They'd counted 365 days, 12 months and 52 weeks.
Once upon a time there was a small house at the end of the road, and in the house there was a small light.
I've never seen such weather, I'm sure you haven't. It's what he'd call a mild winter: snow, snow and more snow.
    indented lines        and  double  spaces, tabs\tand\ttabs\n\n\nand blank lines.
Der Müller mahlt das Mehl. Ça va très bien, dit-il, où est l'été? Živjo, kako si? Привет, как дела? Добрый день.
今日は良い天気です。今日は良い日です。 안녕하세요, 안녕히 가세요. שלום עולם. नमस्ते दुनिया. سلام دنیا.
for (int i = 0; i < n; i++) { total += values[i] * 2; }  // a comment
def total(values):\n    return sum(v for v in values if v > 0.5)\n
"""

STRINGS = [
    "", " ", "  ", "   ", "a", " a", "a ", "  a", "the", " the", "The cats", "the cats and the mill",
    "Once upon a time there was a small house.", "I've, we'll, they're, I'm, he'd, it's, don't",
    "I'VE, WE'LL, THEY'RE, I'M, HE'D, IT'S, DON'T \u017f '\u017f I'\u017ft", "\n", "\n\n", "\n\n\n", " \n", "\n ", " \n \n ",
    "\r\n", "a\r\nb", "\t", "\t\tx", "a\tb", "    four", "x    y", "trailing   ", "trailing \n", "1", "12", "123", "1234",
    "12345678", "a1b22c333", "3.14159", "1,000,000", "x=1;y=22", "!", "!!!", "...", "?!", "a-b_c", "--x--", "\"quoted\"",
    "$5.00 + 7% = ?", "[x](y){z}<w>", "\\path\\to", "email@host.org", "//comment /* x */", "é", "e\u0301", "été", "Müller",
    "Mu\u0308ller", "ß", "ŉ", "ﬁn", "²³½", "①②", "Ⅷ", "ａｂｃ", "ﷺ", "Å\u212b\u00c5A\u030a", "q\u0307\u0323", "q\u0323\u0307",
    "a\u0315\u0300\u05ae\u0300\u0062", "가각힣", "\u1100\u1161\u11a8", "안녕하세요", "今日は", "今日は良い天気です。", "漢字 かな カナ",
    "Привет, как дела?", "שלום", "नमस्ते", "سلام", "😀", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "a😀b", "x\ufe0f", "\u00a0", "a\u00a0b", "\u2003x",
    "\u3000", "x\u3000y", "\u0085", "a\u0085b", "\u200b", "\u180e", "a\u180eb", "\ufeff", "\ufeffx", "\ufffd", "\u2028", "\u2029", "\u001c x",
    "\u0001\u0002\u001f\u007f", "\U0010ffff", "\u0378", "▁", "▁the", "a▁b", "▁ ▁", " ▁", "<0x41>", "<0x0A>", "<unk>", "Ġthe", "Ċ",
    "<s>", "</s>", "<s>the</s>", " <s> the </s> ", "<|endoftext|>", "a<|endoftext|>b", "<|endoftext|><|endoftext|>",
    "<|end", "|>", "<|begin_of_text|>the<|eot_id|>", "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "<|reserved_special_token_5|>", "<tool>", "a <tool> b", "<tool>x</tool>", "<tool><tool>", "  <wide>  x", "x <wide> <wide> y",
    "x\n<wide>\n\ny", "<wide>", " <left> y", "x  <left>  y", "<left>", "x  <right>  y", "<right>\n\n", "caf\u00e9 tok", "cafe\u0301 tok",
    "the<mid>cats", "the <mid> cats", "aaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abcabcabc" * 8,
    "for (int i = 0; i < n; i++) { total += values[i]; }", "def total(values):\n    return sum(values)\n", "snow " * 12,
    " and the mill" * 9, "x" * 60 + " " * 60 + "\n" * 5, "mixed 今日 the 12 été\n\n  x", "The year 1842, and 365 days.",
]

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K_HEAD = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
# Llama 3.1's names
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
           "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>",
           "<|eot_id|>", "<|python_tag|>", "<|image|>"]
SPECIAL += [f"<|reserved_special_token_{2 + i}|>" for i in range(256 - len(SPECIAL))]


def special(text, **how):
    return AddedToken(text, special=True, normalized=how.pop("normalized", False), **how)


def user(text, **how):
    return AddedToken(text, special=False, normalized=how.pop("normalized", True), **how)


def byte_level(pre, n=384, normalizer=None, added=(), **model):
    """A byte-level BPE; `pre` must end in ByteLevel."""
    t = Tokenizer(models.BPE(**model))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    train(t, n, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    add(t, added)
    return t


def by_char(pre, decoder, n=320, normalizer=None, added=(), alphabet=True, **model):
    """A BPE over characters; with byte_fallback its vocabulary begins <unk> <s> </s> and the bytes."""
    first = ["<unk>", "<s>", "</s>"]
    if model.get("byte_fallback"):
        first += [f"<0x{b:02X}>" for b in range(256)]
        n += 256
    t = Tokenizer(models.BPE(**model))
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    train(t, n, special_tokens=first, limit_alphabet=90)
    # The trainer makes all of `first` special; the bytes are not.
    j = json.loads(t.to_str())
    j["added_tokens"] = [a for a in j["added_tokens"] if not a["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(j))
    t.decoder = decoder
    add(t, added)
    return t


def train(t, n, **options):
    trainer = trainers.BpeTrainer(vocab_size=n, show_progress=False, **options)
    t.train_from_iterator(TEXT.split("\n\n") if t.pre_tokenizer is None else [TEXT], trainer)


def add(t, added):
    t.add_special_tokens([a for a in added if a.special])
    t.add_tokens([a for a in added if not a.special])


def bos_template(t, bos):
    return processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B",
                                         special_tokens=[(bos, t.token_to_id(bos))])


def make():
    P, N, D = pre_tokenizers, normalizers, decoders
    made = {}
    made["gpt2"] = byte_level(P.ByteLevel(add_prefix_space=False), added=[special("<|endoftext|>")])
    made["gpt2"].post_processor = processors.ByteLevel(trim_offsets=True)

    t = byte_level(P.Sequence([P.Split(Regex(LLAMA3), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)]),
                   ignore_merges=True, added=[special(s) for s in SPECIAL[:12]])
    t.post_processor = processors.Sequence([processors.ByteLevel(), bos_template(t, "<|begin_of_text|>")])
    made["llama3"] = t

    made["qwen"] = byte_level(
        P.Sequence([P.Split(Regex(QWEN), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)]),
        normalizer=N.NFC(),
        added=[special("<|endoftext|>"), special("<|im_start|>"), special("<|im_end|>"), user("<tool>", normalized=False),
               user("</tool>"), user("caf\u00e9"), special("<wide>", lstrip=True, rstrip=True), special("<left>", lstrip=True),
               user("<right>", rstrip=True)])
    made["o200k"] = byte_level(
        P.Sequence([P.Split(Regex(O200K), "removed", invert=True), P.ByteLevel(add_prefix_space=False, use_regex=False)]),
        normalizer=N.NFKC(), added=[special("<|endoftext|>"), user("<tool>")])
    made["cl100k"] = byte_level(
        P.Sequence([P.Split(Regex(CL100K_HEAD), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)]),
        normalizer=N.Sequence([N.NFD(), N.Replace(Regex(r"[\u2028\x{2029}]"), "\n")]), added=[special("<|endoftext|>")])
    made["digits"] = byte_level(
        P.Sequence([P.Digits(individual_digits=True), P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=True)]),
        added=[special("<|endoftext|>"), user("<mid>", normalized=False)])
    made["splits"] = byte_level(
        P.Sequence([P.Split("the", "merged_with_next"), P.Split(Regex(r"[.,;!?$^]+"), "merged_with_previous"),
                    P.Split(Regex(r"\d{2,3}|^x.|[aeiou]$"), "contiguous"), P.Split(Regex(r"[^\S\n]"), "removed"),
                    P.Digits(individual_digits=False), P.ByteLevel(add_prefix_space=False)]),
        normalizer=N.NFKD(), added=[special("<|endoftext|>")])

    sentencepiece = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    t = by_char(None, sentencepiece, normalizer=N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), byte_fallback=True,
                fuse_unk=True, unk_token="<unk>", added=[user("<tool>"), user("<mid>", normalized=False)])
    t.post_processor = bos_template(t, "<s>")
    made["llama2"] = t
    made["gemma"] = by_char(P.Split(" ", "merged_with_previous"), D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()]),
                            normalizer=N.Replace(" ", "▁"), byte_fallback=True, fuse_unk=True, unk_token="<unk>",
                            ignore_merges=False, added=[special("<|endoftext|>")])
    made["metaspace"] = by_char(P.Metaspace(prepend_scheme="first"), D.Metaspace(prepend_scheme="first"), unk_token="<unk>",
                                fuse_unk=True, added=[user("<tool>", normalized=False)])
    made["metaspace_always"] = by_char(P.Metaspace(prepend_scheme="always", split=False), D.Metaspace(), unk_token="<unk>",
                                       fuse_unk=False, byte_fallback=False, added=[user("<tool>", normalized=False)])
    return made


def dump(value):
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def write_tokenizer(path, t):
    """One line for each member."""
    with open(path, "w", encoding="utf-8") as f:
        members = json.loads(t.to_str()).items()
        f.write("{" + ",\n".join(f"{dump(key)}:{dump(value)}" for key, value in members) + "}\n")


def write_cases(path, bos, cases, decode):
    """One line for each case."""
    with open(path, "w", encoding="utf-8") as f:
        lines = [",\n".join(map(dump, items)) for items in (cases, decode)]
        f.write('{"bos":%s,\n"cases":[\n%s\n],\n"decode":[\n%s\n]}\n' % (dump(bos), *lines))


def decode(t, ids):
    odd = [i for i, token in t.get_added_tokens_decoder().items() if not token.content.isascii()]
    if type(t.decoder).__name__ == "Metaspace" and ids and t.id_to_token(ids[0]).count("▁") > 1:
        return None
    return None if set(odd) & set(ids) else t.decode(ids, skip_special_tokens=False)


def cases_of(t):
    cases = []
    for text in STRINGS:
        t.encode_special_tokens = False
        ids = t.encode(text, add_special_tokens=False).ids
        t.encode_special_tokens = True
        plain = t.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "plain": plain, "decoded": decode(t, ids)})
    t.encode_special_tokens = False
    return cases


def main(out):
    rng = random.Random(1)
    for name, t in make().items():
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        write_tokenizer(os.path.join(folder, "tokenizer.json"), t)
        t = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        bos = t.encode("").ids
        decoded = []
        if type(t.decoder).__name__ == "ByteLevel":  # others look at a whole list, or replace each byte by itself
            lists = [[rng.randrange(t.get_vocab_size()) for _ in range(12)] for _ in range(8)]
            decoded = [{"ids": ids, "text": decode(t, ids)} for ids in lists]
        write_cases(os.path.join(folder, "cases.json"), bos[0] if bos else None, cases_of(t), decoded)

    # tiktoken: the bytes and the merges' results of the GPT-2 like one, in order
    folder = os.path.join(out, "tiktoken")
    os.makedirs(folder, exist_ok=True)
    alphabet = {c: b for b, c in tiktoken_alphabet().items()}
    merges = json.loads(make()["llama3"].to_str())["model"]["merges"]
    tokens = [bytes([b]) for b in range(256)] + [bytes(alphabet[c] for c in a + b) for a, b in merges]
    ranks = {token: i for i, token in enumerate(tokens)}
    with open(os.path.join(folder, "tokenizer.model"), "wb") as f:
        for token, rank in ranks.items():
            f.write(base64.b64encode(token) + b" " + str(rank).encode() + b"\n")
    e = tiktoken.Encoding("small", pat_str=LLAMA3, mergeable_ranks=ranks,
                          special_tokens={s: len(ranks) + i for i, s in enumerate(SPECIAL)})
    cases = [{"text": text, "ids": e.encode(text, allowed_special="all"), "plain": e.encode(text, disallowed_special=()),
              "decoded": text} for text in STRINGS]
    lists = [[rng.randrange(e.n_vocab) for _ in range(12)] for _ in range(8)]
    decoded = [{"ids": ids, "text": e.decode(ids)} for ids in lists]
    write_cases(os.path.join(folder, "cases.json"), len(ranks), cases, decoded)


def tiktoken_alphabet():
    """Byte to character of the byte-level alphabet."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + i) for i, b in enumerate(others)}}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
