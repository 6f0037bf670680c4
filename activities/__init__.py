"""The activities: everything that an orchestration does to the world, each a small idempotent step."""

from activities.binding import Activity, Kit, bind
from activities.by_hand import claim_by_hand, give_back, preview_drain, report_drain
from activities.drain import drain_pass
from activities.leases import acquire_lease, release_lease
from activities.looks import look_for_boot, look_for_proof
from activities.nodes import claim_node, cordon_node, reboot_node, recheck_node, release_node
from activities.records import recording
from activities.survey import survey_cluster
from midwatch.domain.by_hand import PreviewStep, ReportStep
from midwatch.domain.draining import DrainStep
from midwatch.domain.steps import ClusterStep, LookStep, NodeStep, RebootStep, ReleaseStep, SurveyStep
from midwatch.kube.pool import ClientPool
from midwatch.telemetry import OFF, Telemetry


def activities(pool: ClientPool, telemetry: Telemetry = OFF) -> dict[str, Activity]:
    """Every activity under the name by which the orchestrations call it, with its clients from `pool`."""
    kit = Kit(pool, telemetry)
    return {
        "acquire_lease": bind(acquire_lease, ClusterStep, kit),
        "release_lease": bind(release_lease, ClusterStep, kit),
        "survey_cluster": bind(survey_cluster, SurveyStep, kit),
        "claim_node": bind(claim_node, NodeStep, kit),
        "cordon_node": bind(cordon_node, NodeStep, kit),
        "drain_pass": bind(drain_pass, DrainStep, kit),
        "recheck_node": bind(recheck_node, NodeStep, kit),
        "reboot_node": bind(reboot_node, RebootStep, kit),
        "look_for_boot": bind(look_for_boot, LookStep, kit),
        "look_for_proof": bind(look_for_proof, LookStep, kit),
        "release_node": bind(release_node, ReleaseStep, kit),
        "claim_by_hand": bind(claim_by_hand, NodeStep, kit),
        "preview_drain": bind(preview_drain, PreviewStep, kit),
        "report_drain": bind(report_drain, ReportStep, kit),
        "give_back": bind(give_back, NodeStep, kit),
        **recording(telemetry),
    }


__all__ = ["activities"]
