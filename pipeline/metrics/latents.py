"""What a latent is like for a model that is to generate it."""

from pipeline.metrics.catalogue import Metric


def _measure(
    name: str,
    label: str,
    better: bool | None,
    protocol: str,
    *,
    unit: str = "",
    format: str = ".4f",
    option: str = "latents",
) -> Metric:
    return Metric(
        name=f"{option}.{name}",
        label=label,
        unit=unit,
        larger_is_better=better,
        format=format,
        protocol=protocol,
        modality="latent",
        option=option,
    )


METRICS = (
    _measure(
        "low_frequency_share",
        "latents' low frequencies",
        True,
        "share of the spectral power of standardized channels up to half of Nyquist's frequency in "
        "both directions, without the mean of a map, posterior means",
    ),
    _measure(
        "effective_channels",
        "latents' effective channels",
        None,
        "participation ratio of the covariance of the channels, posterior means",
        unit="channels",
        format=".2f",
    ),
    _measure(
        "scale_error",
        "equivariance error, scale",
        False,
        "squared difference of the latents of images of half the size and the latents scaled to "
        "it, over the variance of the former, bilinear without antialiasing, posterior means",
    ),
    _measure(
        "rotation_error",
        "equivariance error, rotation",
        False,
        "squared difference of the latents of images turned by 90 degrees and the latents turned "
        "likewise, over the variance of the former, posterior means",
    ),
    _measure(
        "interpolation_path",
        "interpolation path",
        False,
        "length of the path of 9 images decoded evenly between two latents over the distance of "
        "its ends, mean over neighbours in a batch, posterior means",
    ),
    _measure(
        "bits_per_latent",
        "bits per latent",
        None,
        "KL in bits over the number of elements of the latents, mean over examples",
        unit="bits",
    ),
    _measure(
        "label_accuracy",
        "linear probe of labels",
        True,
        "accuracy of a logistic regression on standardized latents averaged to at most 256 "
        "numbers (C = 1), a third of the labelled examples, the rest for training",
    ),
    _measure(
        "teacher_cka",
        "alignment with a teacher (CKA)",
        True,
        "linear CKA of latents and the teacher's features at the same positions, posterior means",
    ),
    _measure(
        "loss_ratio",
        "probe's loss over Gaussian's",
        False,
        "held-out flow-matching loss of a small transformer on normalized latents over the best "
        "loss of a Gaussian of their mean and covariance, mean over 10 intervals of the time",
        option="probe",
    ),
    _measure(
        "generated_distance",
        "probe's distance to reconstructions",
        False,
        "squared Frechet distance between features of decoded samples and of reconstructions of as "
        "many held-out examples",
        option="probe",
    ),
)
