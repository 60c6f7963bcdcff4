"""Fields of a JobSet's spec, transcribed from its published CRD.

Source: kubernetes-sigs/jobset, config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml, version
v1alpha2 as of JobSet 0.11. The Job in a replicated job is batch/v1's, which has Kubernetes' schema.
"""

from typing import Any


def _object(*, required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return dict(
        type="object", properties=properties, required=list(required), additionalProperties=False
    )


def _list(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return dict(type="array", items=items, **more)


def _one_of(*values: str) -> dict[str, Any]:
    return dict(type="string", enum=list(values))


_STRING, _INTEGER, _BOOLEAN = dict(type="string"), dict(type="integer"), dict(type="boolean")
_COUNT = dict(type="integer", minimum=0)
# Reasons for which a Job can fail; JobSet's webhook accepts no others.
_REASONS = _one_of(
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
)

SPEC = _object(
    coordinator=_object(
        required=("replicatedJob",), replicatedJob=_STRING, jobIndex=_INTEGER, podIndex=_INTEGER
    ),
    failurePolicy=_object(
        maxRestarts=_INTEGER,
        restartStrategy=_one_of("Recreate", "BlockingRecreate", "InPlaceRestart"),
        rules=_list(
            _object(
                required=("name", "action"),
                name=dict(type="string", pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
                action=_one_of(
                    "FailJobSet",
                    "RestartJobSet",
                    "RestartJobSetAndIgnoreMaxRestarts",
                    "RestartJob",
                    "RestartJobAndIgnoreMaxRestarts",
                ),
                onJobFailureReasons=_list(_REASONS, uniqueItems=True),
                onJobFailureMessagePatterns=_list(_STRING, uniqueItems=True),
                targetReplicatedJobs=_list(_STRING),
            )
        ),
    ),
    managedBy=_STRING,
    network=_object(
        enableDNSHostnames=_BOOLEAN, publishNotReadyAddresses=_BOOLEAN, subdomain=_STRING
    ),
    replicatedJobs=_list(
        _object(
            required=("name", "template"),
            name=_STRING,
            groupName=_STRING,
            replicas=_COUNT,
            dependsOn=_list(
                _object(
                    required=("name", "status"), name=_STRING, status=_one_of("Ready", "Complete")
                ),
                maxItems=5,
            ),
            template=_object(metadata=dict(type="object"), spec=dict(type="object")),
        )
    ),
    startupPolicy=_object(
        required=("startupPolicyOrder",), startupPolicyOrder=_one_of("AnyOrder", "InOrder")
    ),
    successPolicy=_object(
        required=("operator",), operator=_one_of("All", "Any"), targetReplicatedJobs=_list(_STRING)
    ),
    suspend=_BOOLEAN,
    ttlSecondsAfterFinished=_COUNT,
    volumeClaimPolicies=_list(
        _object(
            templates=_list(dict(type="object"), maxItems=50),
            retentionPolicy=_object(whenDeleted=_one_of("Delete", "Retain")),
        ),
        maxItems=50,
    ),
)
