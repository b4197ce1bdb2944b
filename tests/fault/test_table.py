"""Service x action x passage, and every named point: each fault is followed by a workload that must not notice it."""
from campaign import ACTIONS, Fault, begin, chosen, finish
from framework import FULL, case

PASSAGES = [1, 2, 5, 20, 100] if FULL else [1, 7]
# The console's points are passed by the campaign's own typing, so only the passages of `any` are of use there.
POINT_SERVICES = ["blk", "fs"]
POINT_PASSAGES = 200 if FULL else 2


@case(service=["blk", "fs", "console"])
def fault_table(t, service):
    """Each action at the first, and at later passages of any point."""
    image, campaign = begin(t)
    for fault in chosen([Fault(service, "any", action, n) for action in ACTIONS for n in PASSAGES]):
        campaign.inject(fault)
    finish(t, image, campaign)


@case(service=["blk", "fs", "console"])
def fault_kill(t, service):
    """Killed from outside by the supervisor."""
    image, campaign = begin(t)
    for _ in range(50 if FULL else 5):
        before = t.services(campaign.machine)[service]
        t.run(campaign.machine, f"crash {service} kill")
        campaign.count["injected"] += 1
        after = t.services(campaign.machine)[service]
        fired = after["restarts"] == before["restarts"] + 1
        wrong = campaign.workload()
        campaign.count["activated"] += fired
        campaign.count["recovered"] += fired and not wrong
        campaign.problems += wrong
    t.equal(campaign.count["activated"], campaign.count["injected"], "restarts")
    finish(t, image, campaign)


@case(service=POINT_SERVICES)
def fault_points(t, service):
    """Every named point that the workload passes: its first, second .. passage, until one is not reached."""
    image, campaign = begin(t)
    campaign.problems += campaign.workload()
    points = sorted(t.points(campaign.machine, service))
    t.check(points, f"{service} has no injection points")
    for point in points:
        for passage in range(1, POINT_PASSAGES + 1):
            faults = chosen([Fault(service, point, "illegal", passage)])
            if faults and not campaign.inject(faults[0]):
                campaign.disarm(service)
                break
    finish(t, image, campaign)


@case(service=["blk", "fs"])
def fault_error(t, service):
    """An injected error is tried again below, or ends the service, which performs the request again: clients see nothing."""
    image, campaign = begin(t)
    for passage in (1, 5):
        campaign.machine.command(f"inject {service} any error {passage}")
        wrong = campaign.workload()
        campaign.count["injected"] += 1
        campaign.count["recovered"] += not wrong
        campaign.problems += wrong
    finish(t, image, campaign)
