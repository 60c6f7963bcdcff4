"""Frechet distances between originals and reconstructions, in the features of a frozen network."""

from pipeline.metrics.catalogue import Metric


def _of_network(name: str, network: str, label: str, features: str, of_clips: bool) -> Metric:
    return Metric(
        name=name,
        label=label,
        function="pipeline.metrics.functions.frechet.distance",
        network=network,
        unit="",
        larger_is_better=False,
        format=".4f",
        protocol=f"squared Frechet distance between originals and reconstructions, {features}",
        modality="video" if of_clips else "image",
    )


def _of_trunk(network: str) -> Metric:
    name = f"{network}_feature_distance"
    features = (
        f"mean of the last map of the {network} network's trunk, which is neither FID nor FVD"
    )
    return _of_network(name, network, name.replace("_", " "), features, of_clips=False)


METRICS = (
    _of_network(
        "rfid",
        "inception",
        "rFID",
        "Inception v3's 2048 pooled features of 299x299 pixels, resized bilinearly as TensorFlow 1 "
        "does: FID of reconstructions, published for 50,000 images",
        of_clips=False,
    ),
    _of_network(
        "fvd",
        "i3d",
        "FVD of reconstructions",
        "I3D's 400 logits, averaged over time, of 224x224 pixels, resized bilinearly as TensorFlow "
        "1 does: FVD of reconstructions, published figures depend on number and length of clips",
        of_clips=True,
    ),
    _of_trunk("vgg16"),
    _of_trunk("squeezenet"),
    _of_trunk("squeezenet_caffe"),
    _of_network(
        "random_feature_distance",
        "random",
        "random feature distance",
        "mean of the last of three random layers, which is neither FID nor FVD",
        of_clips=False,
    ),
)
