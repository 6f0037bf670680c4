"""The activities: everything that an orchestration does to the world, each a small idempotent step."""

from activities.binding import Activity, bind
from activities.by_hand import claim_by_hand, give_back, preview_drain, report_drain
from activities.drain import drain_pass
from activities.leases import acquire_lease, release_lease
from activities.looks import look_for_boot, look_for_proof
from activities.nodes import claim_node, cordon_node, reboot_node, recheck_node, release_node
from activities.survey import survey_cluster
from midwatch.domain.by_hand import PreviewStep, ReportStep
from midwatch.domain.draining import DrainStep
from midwatch.domain.steps import ClusterStep, LookStep, NodeStep, RebootStep, ReleaseStep, SurveyStep
from midwatch.kube.pool import ClientPool


def activities(pool: ClientPool) -> dict[str, Activity]:
    """Every activity under the name by which the orchestrations call it, with its clients from `pool`."""
    return {
        "acquire_lease": bind(acquire_lease, ClusterStep, pool),
        "release_lease": bind(release_lease, ClusterStep, pool),
        "survey_cluster": bind(survey_cluster, SurveyStep, pool),
        "claim_node": bind(claim_node, NodeStep, pool),
        "cordon_node": bind(cordon_node, NodeStep, pool),
        "drain_pass": bind(drain_pass, DrainStep, pool),
        "recheck_node": bind(recheck_node, NodeStep, pool),
        "reboot_node": bind(reboot_node, RebootStep, pool),
        "look_for_boot": bind(look_for_boot, LookStep, pool),
        "look_for_proof": bind(look_for_proof, LookStep, pool),
        "release_node": bind(release_node, ReleaseStep, pool),
        "claim_by_hand": bind(claim_by_hand, NodeStep, pool),
        "preview_drain": bind(preview_drain, PreviewStep, pool),
        "report_drain": bind(report_drain, ReportStep, pool),
        "give_back": bind(give_back, NodeStep, pool),
    }


__all__ = ["activities"]
