"""Perceptual distances of reconstructions in a trained network's features (arXiv 1801.03924)."""

from pipeline.metrics.catalogue import Metric


def _of_network(name: str, network: str, label: str, protocol: str) -> Metric:
    return Metric(
        name=name,
        label=label,
        function="pipeline.frozen.lpips.PerceptualDistance",
        network=network,
        unit="",
        larger_is_better=False,
        format=".4f",
        protocol=f"{protocol}, mean over frames",
        modality="image",
    )


METRICS = (
    _of_network("lpips", "vgg16", "LPIPS", "LPIPS 0.1 on VGG16, learned heads"),
    _of_network(
        "lpips_squeeze",
        "squeezenet",
        "LPIPS on SqueezeNet",
        "LPIPS 0.1 on SqueezeNet, learned heads",
    ),
    _of_network(
        "squeezenet_caffe",
        "squeezenet_caffe",
        "distance of SqueezeNet features (not LPIPS)",
        "LPIPS's formula on Caffe's SqueezeNet, every channel weighted alike, which is not LPIPS",
    ),
)
