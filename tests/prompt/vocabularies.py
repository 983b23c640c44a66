"""Small tokenizers, built in memory, for tests of prompts and models."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_bos|>", "<|audio_eos|>")
CORPUS = ("system user assistant", "what is said in the clip", "you are a helpful assistant", "hello hello world")


def byte_level(*, special: tuple[str, ...] = SPECIAL, template: str | None = None) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as Qwen has it; every text can be written and read back."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(vocab_size=300, special_tokens=[*special], initial_alphabet=alphabet, show_progress=False),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=special[2], pad_token=special[0], clean_up_tokenization_spaces=False
    )
    fast.chat_template = template
    return fast


def with_thinking(**options: object) -> PreTrainedTokenizerFast:
    """Byte-level, with tokens that were added as "not special", as Qwen 3 has them, and with runs of blanks."""
    fast = byte_level()
    names = ("<think>", "</think>", "<tool_call>", "  ", "    ")
    fast.add_tokens([AddedToken(name, special=False, normalized=False) for name in names])
    return fast


def word_level() -> PreTrainedTokenizerFast:
    """Whole words between blanks: here the vocabulary itself holds the special names."""
    words = [*SPECIAL, "<unk>", *sorted({word for line in CORPUS for word in line.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=SPECIAL[2], pad_token=SPECIAL[0], unk_token="<unk>"
    )
    fast.add_special_tokens({"additional_special_tokens": [*SPECIAL[1:]]})
    return fast
