"""Chat templates as the families of LLMs have them, shortened to plain turns, with a small vocabulary each."""

from transformers import PreTrainedTokenizerFast

from .vocabularies import byte_level

ALTERNATE = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
CHATML_TURN = "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
QWEN2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    + CHATML_TURN
    + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
QWEN3 = (
    "{% for message in messages %}{% if message['role'] == 'assistant' and loop.last %}"
    "{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% else %}" + CHATML_TURN + "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}" + ALTERNATE + "{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
GEMMA_TURNS = (
    "{% for message in messages %}"
    + ALTERNATE
    + "{% set role = 'model' if message['role'] == 'assistant' else 'user' %}"
    "{{ '<start_of_turn>' + role + '\\n' + (first if loop.first else '') + message['content'] | trim }}"
    "{{ '<end_of_turn>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% set first = '' %}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}" + GEMMA_TURNS
)
GEMMA3 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\\n\\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}" + GEMMA_TURNS
)
CHATML_NAMES = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
GEMMA_NAMES = ("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
LLAMA_NAMES = ("<|finetune_right_pad_id|>", "<|begin_of_text|>", "<|end_of_text|>")
# Names (what fills, what begins a text, what ends it, the rest), the template, and what ends a turn.
TEMPLATES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "qwen2": (CHATML_NAMES, QWEN2, "<|im_end|>"),
    "qwen3": ((*CHATML_NAMES, "<think>", "</think>"), QWEN3, "<|im_end|>"),
    "llama": ((*LLAMA_NAMES, "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), LLAMA3, "<|eot_id|>"),
    "mistral": (("<pad>", "<s>", "</s>", "[INST]", "[/INST]"), MISTRAL, "</s>"),
    "gemma": (GEMMA_NAMES, GEMMA, "<end_of_turn>"),
    "gemma2": (GEMMA_NAMES, GEMMA, "<end_of_turn>"),
    "gemma3": (GEMMA_NAMES, GEMMA3, "<end_of_turn>"),
}
NO_SYSTEM = ("mistral", "gemma", "gemma2")


def family_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with a family's special tokens and its chat template."""
    names, template, _ = TEMPLATES[family]
    fast = byte_level(special=names, template=template)
    fast.bos_token = names[1]
    return fast
