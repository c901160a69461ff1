# SPDX-License-Identifier: Apache-2.0
"""Installs `kd_yolo_ros` and, from the folder training/, `kd_yolo_training`."""

from glob import glob

from setuptools import find_packages, setup

NAME = 'kd_yolo_ros'
VERBS = ['bench', 'detect', 'doctor', 'evaluate', 'profile', 'replay', 'report', 'verify']

setup(
    name=NAME,
    version='0.1.0',
    description='Quantized YOLOv5 detection on ROS 2 camera topics, on the runtime you choose',
    license='Apache-2.0',
    maintainer='kd_yolo_ros maintainers',
    maintainer_email='maintainers@kd-yolo-ros.invalid',
    python_requires='>=3.8',
    packages=[
        *find_packages(include=[NAME, f'{NAME}.*']),
        'kd_yolo_training',
        *(f'kd_yolo_training.{package}' for package in find_packages('training')),
    ],
    package_dir={'kd_yolo_training': 'training'},
    package_data={
        NAME: ['models/*/*', 'py.typed'],
        f'{NAME}.metrics': ['*.schema.json'],
        f'{NAME}.nodes': ['*.xml'],
        'kd_yolo_training.recipes': ['bundled/*.yaml'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{NAME}/config', sorted(glob('config/*.yaml'))),
    ],
    install_requires=[
        'PyYAML',
        'click',
        'matplotlib',
        'numpy',
        'opencv-python<5',
        'psutil',
        'pycocotools',
        'rich',
        'rosbags',
        'tqdm',
    ],
    extras_require={
        'onnxruntime': ['onnxruntime'],
        'openvino': ['openvino'],
        'training': [
            'nncf',
            'onnx',
            'onnxruntime',
            'onnxscript',
            'onnxslim',
            'openvino',
            'pillow',
            'safetensors',
            'scipy>=1.15',
            'torch>=2.4',
            'ultralytics',
        ],
        'tflite': ['ai-edge-litert'],
        'tflite-quantize': ['ai-edge-quantizer'],
        # For an environment of its own: it brings jax and transformers.
        'tflite-export': ['ai-edge-litert', 'litert-torch'],
        'test': [
            'ai-edge-litert',
            'ai-edge-quantizer',
            'cyclonedds',
            'jsonschema',
            'mypy',
            'pytest',
            'pytest-xdist',
            'ruff',
            'setuptools',
        ],
    },
    entry_points={
        'console_scripts': [
            f'kd-yolo = {NAME}.cli.main:main',
            f'camera_node = {NAME}.nodes.camera_node:main',
            f'detector_node = {NAME}.nodes.detector_node:main',
            f'segmenter_node = {NAME}.nodes.segmenter_node:main',
        ],
        f'{NAME}.verbs': [
            *(f'{verb} = {NAME}.cli.{verb}:{verb}' for verb in VERBS),
            'bench-training = kd_yolo_training.cli.bench_training:bench_training',
            'compare = kd_yolo_training.cli.compare:compare',
            'compare-training = kd_yolo_training.cli.compare_training:compare_training',
            'data = kd_yolo_training.cli.data:data',
            'export = kd_yolo_training.cli.export:export',
            'import = kd_yolo_training.cli.import_model:import_model',
            'quantize = kd_yolo_training.cli.quantize:quantize',
            'recipe = kd_yolo_training.cli.recipe:recipe',
            'select = kd_yolo_training.cli.select:select',
            'train = kd_yolo_training.cli.train:train',
        ],
        f'{NAME}.models': ['checkpoint = kd_yolo_training.engine.predict:checkpoint_predictor'],
        f'{NAME}.backends': [
            f'onnxruntime = {NAME}.backends.onnxruntime:OnnxRuntimeBackend',
            f'opencv = {NAME}.backends.opencv:OpenCvBackend',
            f'openvino = {NAME}.backends.openvino:OpenVinoBackend',
            f'tensorrt = {NAME}.backends.tensorrt:TensorRtBackend',
            f'tflite = {NAME}.backends.tflite:TfliteBackend',
            f'torch = {NAME}.backends.torch:TorchBackend',
        ],
    },
    zip_safe=False,
)
