# SPDX-License-Identifier: Apache-2.0
"""The frame of the command line: help, verbs, --config, and how bad input ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import metadata

import pytest
from processes import kd_yolo, without

VERBS = sorted(point.name for point in metadata.entry_points(group='kd_yolo_ros.verbs'))


def test_help_names_every_verb(tmp_path):
    text = kd_yolo('--help', cwd=tmp_path).succeeded()
    assert {'bench', 'detect', 'doctor', 'evaluate', 'import', 'quantize', 'replay'} <= set(VERBS)
    for verb in VERBS:
        assert any(line.split()[:1] == [verb] for line in text.splitlines()), verb


@pytest.mark.parametrize('verb', VERBS)
def test_help_of_each_verb(verb, tmp_path):
    text = kd_yolo(verb, '--help', cwd=tmp_path).succeeded()
    assert text.startswith(f'Usage: kd-yolo {verb}')
    group = 'COMMAND [ARGS]' in text  # whose own verbs have the options
    assert group or ('--config' in text and '--json' in text)
    assert not list(tmp_path.iterdir())


def test_version(tmp_path):
    assert metadata.version('kd_yolo_ros') in kd_yolo('--version', cwd=tmp_path).succeeded()


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['frobnicate'], "No such command 'frobnicate'"),
        (['detect'], 'SOURCE'),
        (['detect', 'x.png', '--artifact', 'a', '--out', 'o', '--speed', '3'], '--speed'),
        (['detect', 'x.png', '--artifact', 'a', '--out', 'o', '--score', '2'], '2'),
        (['detect', 'x.png', '--artifact', 'a', '--out', 'o', '--precision', 'int4'], 'int4'),
        (['bench', 'a', '--rounds', '0'], '0'),
        (['bench', 'a', '--threads', '-1'], '-1'),
    ],
)
def test_wrong_use(arguments, expected, tmp_path):
    done = kd_yolo(*arguments, cwd=tmp_path)
    assert done.status == 2
    assert expected in done.stderr and 'Usage: kd-yolo' in done.stderr
    assert 'Traceback' not in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize('verb', ['import', 'quantize'])
def test_a_verb_without_its_extra(verb, tmp_path):
    """torch and its like are not there: the verb says so, and every other one works."""
    path = [without(tmp_path / 'path', 'torch', 'nncf', 'onnx')]
    options = ['--out', 'out', *(['--calibration', 'c'] if verb == 'quantize' else [])]
    sentence = kd_yolo(verb, 'model.pt', *options, cwd=tmp_path, path=path).refused()
    assert 'onnx' in sentence and "pip install 'kd_yolo_ros[training]'" in sentence
    text = kd_yolo('--help', cwd=tmp_path, path=path).succeeded()
    assert all(f'  {name} ' in text for name in VERBS)
    assert [p.name for p in tmp_path.iterdir()] == ['path']


CLICK_VERB = """
import click
from kd_yolo_ros.cli.common import common_options

@click.command()
@click.option('--things', multiple=True)
@click.option('--size', nargs=2, type=int)
@click.option('--video/--no-video', default=True)
@click.option('--max-speed', 'limit', type=float, default=1.0)
@common_options
def show(json_file, **options):
    "Show options."
    print(sorted(options.items()), json_file and json_file.name)
"""


@pytest.fixture
def plugin(tmp_path):
    """An installed package that brings a verb of its own."""
    folder = tmp_path / 'site'
    info = folder / 'acme-1.0.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(
        '[kd_yolo_ros.verbs]\nshow = acme:show\nbroken = acme_broken:verb\nfull = acme_full:verb\n'
    )
    (folder / 'acme.py').write_text(CLICK_VERB)
    (folder / 'acme_broken.py').write_text('import acme_runtime\n')
    (folder / 'acme_full.py').write_text(
        'import click\n'
        '@click.command()\n'
        'def verb():\n'
        '    raise OSError(28, "No space left on device", "result.json")\n'
    )
    return [folder]


def test_a_verb_of_another_package(plugin, tmp_path):
    text = kd_yolo('--help', cwd=tmp_path, path=plugin).succeeded()
    assert 'Show options.' in text and 'broken' in text
    sentence = kd_yolo('broken', '--any', 'thing', cwd=tmp_path, path=plugin).refused()
    assert sentence == "Error: 'broken' cannot run: No module named 'acme_runtime'."


def test_a_full_disk(plugin, tmp_path):
    sentence = kd_yolo('full', cwd=tmp_path, path=plugin).refused()
    assert sentence == 'Error: result.json: No space left on device.'


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('', "[('limit', 1.0), ('size', None), ('things', ()), ('video', True)] None"),
        (
            'max-speed: 3\nsize: [4, 5]\nthings: [a, b]\nvideo: false\njson: x.json\n',
            "[('limit', 3.0), ('size', (4, 5)), ('things', ('a', 'b')), ('video', False)] x.json",
        ),
        (
            'max_speed: 3\nthings: one\n',
            "[('limit', 3.0), ('size', None), ('things', ('one',)), ('video', True)] None",
        ),
    ],
)
def test_options_from_a_file(text, expected, plugin, tmp_path):
    (tmp_path / 'options.yaml').write_text(text)
    done = kd_yolo('show', '--config', 'options.yaml', cwd=tmp_path, path=plugin)
    assert done.succeeded().strip() == expected


def test_the_command_line_wins_over_the_file(plugin, tmp_path):
    (tmp_path / 'options.yaml').write_text('max-speed: 3\nthings: [a, b]\n')
    for order in (['--config', 'options.yaml', *WINS], [*WINS, '--config', 'options.yaml']):
        done = kd_yolo('show', *order, cwd=tmp_path, path=plugin)
        assert "('limit', 7.0), ('size', None), ('things', ('c',))" in done.succeeded()


WINS = ['--max-speed', '7', '--things', 'c']


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('speed: 3', "options.yaml: 'speed' is no option of this verb; it has json, max-speed"),
        ('config: other.yaml', "'config' is no option"),
        ('limit: 3', "'limit' is no option"),
        ('1: 3', "'1' is no option"),
        ('- things', 'options.yaml is not a mapping'),
        ('things: [a', 'options.yaml is not readable YAML'),
        ('things: 2024-99-99', 'options.yaml is not readable YAML'),
        (None, 'options.yaml is not readable YAML'),
    ],
)
def test_a_file_that_does_not_fit(text, expected, plugin, tmp_path):
    if text is not None:
        (tmp_path / 'options.yaml').write_text(text)
    sentence = kd_yolo('show', '--config', 'options.yaml', cwd=tmp_path, path=plugin).refused()
    assert expected in sentence


def test_a_value_that_does_not_fit(plugin, tmp_path):
    (tmp_path / 'options.yaml').write_text('max-speed: fast')
    done = kd_yolo('show', '--config', 'options.yaml', cwd=tmp_path, path=plugin)
    assert done.status == 2 and "'fast' is not a valid float" in done.stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_the_middle(number, tiny_artifact, tmp_path):
    """Nothing half-done stays behind, and no traceback is shown."""
    command = [sys.executable, '-m', 'kd_yolo_ros.cli.main', 'bench', str(tiny_artifact)]
    process = subprocess.Popen(
        [*command, '--rounds', '100000000', '--json', 'bench.json'],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        said = b''
        while b'bench:' not in said:  # the progress bar: it is at work
            part = os.read(process.stderr.fileno(), 4096)
            assert part, said
            said += part
        process.send_signal(number)
        said += process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert b'Interrupted.' in said and b'Traceback' not in said
    assert not list(tmp_path.iterdir())
