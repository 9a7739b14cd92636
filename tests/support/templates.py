"""Chat templates in the test's own process: quick, and only for templates that behave."""

from datetime import datetime

from tokenizer_svc.chat.template import ChatTemplate


def in_process(source: str) -> ChatTemplate:
    """A compiled template."""
    return ChatTemplate(source, datetime.now)


DEEP_COMPARISON = """
{%- set a = [['x'] * 1000] * 1000 %}{% set b = [['x'] * 1000] * 1000 %}
{%- set a, b = [a] * 1000, [b] * 1000 %}{{ a == b -}}
"""
"""One comparison of a thousand million pairs: a single step of the interpreter."""

BIG = "{% set a = ['xxxxxxxxxx'] * 1000 %}{% set b = [a] * 1000 %}{% set c = [b] * 1000 %}"
MEGA = "{% set a = 'a' * 1000000 %}"
ATTACKS = {
    "class walk": "{{ ''.__class__.__mro__ }}",
    "globals of cycler": "{{ cycler.__init__.__globals__.os }}",
    "dunder in namespace": "{{ namespace(__class__=1) }}",
    "dunder set in namespace": "{% set n = namespace() %}{% set n.__class__ = 1 %}",
    "changing the messages": "{{ messages.append(1) }}",
    "huge range": "{% for i in range(10**9) %}{% endfor %}",
    "nested loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "filtered nested loops": "{% for i in range(9999) %}{% for j in range(9999) if 0 %}{% endfor %}"
    "{% endfor %}",
    "loop of sums": "{% for i in range(9999) %}{% set x = range(9999)|sum %}{% endfor %}",
    "huge output": "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "huge hidden output": "{% set x %}{% for i in range(99999) %}" + "A" * 1000 + "{% endfor %}"
    "{% endset %}",
    "huge product": "{{ 'a' * 10**9 }}",
    "huge list": "{{ ([1] * 10**9)|length }}",
    "huge power": "{{ 9 ** (9 ** 9) }}",
    "doubling by ~": "{% set n = namespace(x='a') %}{% for i in range(60) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubling by +": "{% set n = namespace(x='a') %}{% for i in range(60) %}"
    "{% set n.x = n.x + n.x %}{% endfor %}",
    "macro recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "loop recursion": "{% for i in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    "padding by %": "{{ '%1000000000d' % 1 }}",
    "padding by %*": "{{ '%*d' % (10**9, 1) }}",
    "padding by format filter": "{{ '%1000000000d'|format(1) }}",
    "padding by format": "{{ '{:1000000000}'.format(1) }}",
    "padding by nested format": "{{ '{:{}}'.format(1, 10**9) }}",
    "padding by ljust": "{{ 'a'.ljust(10**9) }}",
    "padding by indent": "{{ ('a\n' * 10000)|indent(10**6) }}",
    "padding by tabs": "{{ ('\t' * 100000).expandtabs(100000) }}",
    "padding by JSON": "{{ [1, 2]|tojson(indent=10**9) }}",
    "padding by time": "{{ strftime_now('%999999999d') }}",
    "replace method": MEGA + "{{ a.replace('a', a) }}",
    "replace filter": MEGA + "{{ a|replace('a', a) }}",
    "join filter": MEGA + "{{ range(9999)|map('string')|join(a) }}",
    "join method": MEGA + "{{ a.join(range(9999)|map('string')) }}",
    "many laughs written": BIG + "{{ c }}",
    "many laughs as JSON": BIG + "{{ c|tojson }}",
    "many laughs as text": BIG + "{{ c|string|length }}",
    "many laughs upper": BIG + "{{ c|upper|length }}",
    "many laughs by ~": BIG + "{% if c ~ '' %}{% endif %}",
    "many laughs by %": BIG + "{% if '%s' % [c] %}{% endif %}",
    "many laughs by format": BIG + "{% if '{}'.format(c) %}{% endif %}",
}
"""Templates that try to get out, to spin or to fill the memory; each must be refused."""
