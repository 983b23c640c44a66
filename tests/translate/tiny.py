"""Tiny random SeamlessM4T-v2 models whose answers differ from input to input, as the published classes make them."""

from typing import Any

import torch
from torch import nn
from transformers import SeamlessM4TTokenizer, SeamlessM4Tv2Config, SeamlessM4Tv2Model

VOCAB = 100
LANGUAGES = {"eng": 90, "fra": 91, "arb": 92}
VOICES = {"eng": 1, "fra": 2, "arb": 3}
BLANK, LETTERS, PUNCTUATION = "▁", "abcdefghijklmnopqrstuvwxyz", ",.!?-"
MARKS = range(31, 36)
"""The ids of the punctuation marks."""
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB, "t2u_vocab_size": 80, "char_vocab_size": 60, "hidden_size": 32, "max_position_embeddings": 64,
    "t2u_max_position_embeddings": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "speech_encoder_layers": 2,
    "speech_encoder_attention_heads": 4, "speech_encoder_intermediate_size": 64, "feature_projection_input_dim": 160,
    "conv_depthwise_kernel_size": 7, "t2u_encoder_layers": 2, "t2u_decoder_layers": 2, "t2u_encoder_ffn_dim": 64,
    "t2u_decoder_ffn_dim": 64, "t2u_encoder_attention_heads": 4, "t2u_decoder_attention_heads": 4,
    "t2u_variance_predictor_embed_dim": 32, "t2u_variance_predictor_hidden_dim": 16, "upsample_initial_channel": 32,
    "unit_hifi_gan_vocab_size": 70, "unit_embed_dim": 16, "lang_embed_dim": 8, "spkr_embed_dim": 8,
    "vocoder_num_langs": 4, "vocoder_num_spkrs": 20,
}  # fmt: skip


def merges() -> list[tuple[str, str]]:
    """What a tokenizer of 90 tokens puts together."""
    heads = [(BLANK, letter) for letter in LETTERS]
    pairs = [(LETTERS[i], LETTERS[i + 1]) for i in range(0, 26, 2)]
    longer = [(BLANK + LETTERS[i], LETTERS[i + 1]) for i in range(10)]
    return [*heads, *pairs, *longer, *(("".join(pairs[i]), "".join(pairs[i + 1])) for i in range(5))]


def pieces() -> dict[str, str]:
    """The written form of every id: characters, marks, words of several lengths with and without a space."""
    tokens = ["<pad>", "<unk>", "<s>", "</s>", BLANK, *LETTERS, *PUNCTUATION, *map("".join, merges())]
    tokens += [f"__{name}__" for name in LANGUAGES]
    return {str(i): token for i, token in enumerate(tokens)}


def tokenizer() -> SeamlessM4TTokenizer:
    """The published class with these tokens."""
    vocabulary = {token: int(i) for i, token in pieces().items() if int(i) not in LANGUAGES.values()}
    return SeamlessM4TTokenizer(vocabulary, merges(), additional_special_tokens=[f"__{name}__" for name in LANGUAGES])


CHAR_TO_ID = {char: i + 4 for i, char in enumerate(BLANK + LETTERS + PUNCTUATION[:-1])} | {"<unk>": 1}
"""The last mark is unknown."""


ENDS = 1.5
"""How much the end draws: translations of some tokens, which differ in length."""


def louden(model: nn.Module, *, seed: int = 0, size: float = 0.15) -> None:
    """Larger weights than those of initialisation: small mistakes shall show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.add_((size if value.ndim > 1 else 0.02) * torch.randn(value.shape, generator=generator))


def _ending(model: SeamlessM4Tv2Model) -> torch.Tensor:
    """An embedding of the end that the later states of the text decoder are more like than the first."""
    ids = torch.randint(4, LANGUAGES["eng"], (16, 16))
    states = model.text_decoder(input_ids=ids, encoder_hidden_states=torch.randn(16, 4, 32)).last_hidden_state
    towards = states[:, 8:].mean((0, 1)) - states[:, :4].mean((0, 1))
    return ENDS * towards / towards.norm()


def published(*, attention: str = "sdpa", seed: int = 0, **sizes: Any) -> SeamlessM4Tv2Model:
    """A random model of the published class: durations of one to several units, no answer twice."""
    torch.manual_seed(seed)
    model = SeamlessM4Tv2Model(SeamlessM4Tv2Config(**{**SIZES, **sizes, "attn_implementation": attention})).eval()
    louden(model, seed=seed)
    with torch.no_grad():
        for predictor in (model.t2u_model.model.decoder.duration_predictor, model.vocoder.dur_predictor):
            predictor.proj.weight.mul_(0.7)
            predictor.proj.bias.fill_(1.2)
        for weight in model.vocoder.hifi_gan.parameters():  # else every sample is at the limit, where all is equal
            weight.mul_(0.7 if weight.ndim > 1 else 1.0)
        t2u = model.t2u_model.model.decoder.embed_tokens.weight
        units = torch.arange(len(t2u)).sub(4)
        t2u[(units < 0) | (units >= model.config.unit_hifi_gan_vocab_size)] = 0.0  # the published class says any token
        signs = torch.randn(model.config.hidden_size).sign()
        model.text_decoder.layer_norm.weight.copy_(signs)  # else the likeliest token is always the last one again
        model.shared.weight[3] = _ending(model)
    settings = model.generation_config
    settings._from_model_config = False  # else the tables are not read back
    settings.text_decoder_lang_to_code_id = dict(LANGUAGES)
    settings.t2u_lang_code_to_id = dict(VOICES)
    settings.vocoder_lang_code_to_id = dict(VOICES)
    settings.id_to_text, settings.char_to_id = pieces(), dict(CHAR_TO_ID)
    settings.max_new_tokens = 12
    return model
