// Supervisor: the news of processes, and what follows from it for groups: events, waits, releases, freezing.

#include "supervisor/supervisor.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

base::Result<> Supervisor::open_group_parts() {
    freezing_ = std::make_unique<Freezing>(*loop_, *census_, forest_, *chronicle_);
    host_->set_freezing(*freezing_);
    group_events_ = std::make_unique<GroupEvents>(forest_, *chronicle_);
    group_waits_ = std::make_unique<GroupWaits>(
        forest_, *loop_, [this](GroupId group) { return freezing_->stands_still(group); });
    releases_ = std::make_unique<Releases>(
        Releases::Parts{*loop_, forest_, *chronicle_, *services_, *engine_, *placing_, *kills_});
    for (auto opened : {kills_->open(), freezing_->open(), group_waits_->open(), releases_->open()}) {
        if (!opened) {
            return opened;
        }
    }
    freezing_->on_change([this] { group_waits_->review(); });
    services_->before_stop([this](GroupId group) { freezing_->let_go(group); });
    freezing_->restore(recorded_);
    group_events_->restore(recorded_);
    return {};
}

// When processes and units are as they are: what happened to groups while nobody looked.
void Supervisor::recover_groups() {
    const auto emptied = group_events_->compare_all();
    releases_->restore(recorded_);
    for (const GroupId group : emptied) {
        releases_->candidate(group);
    }
    freezing_->reapply();
}

void Supervisor::review_groups() {
    const auto flipped = forest_.take_flipped();
    for (const GroupId group : flipped) {
        group_events_->flipped(group);
        releases_->flipped(group);
    }
    const auto candidates = forest_.take_release_candidates();
    for (const GroupId group : candidates) {
        releases_->candidate(group);
    }
    releases_->go_on();
    if (!flipped.empty() || !candidates.empty()) {
        freezing_->groups_changed();
        group_waits_->review();
    }
}

// --- news
// ------------------------------------------------------------------------------------------------------------------

void Supervisor::forked(const processes::Process* parent, processes::Process& child) {
    if (parent != nullptr) {
        controllers_->forked(*parent, child);
        classifier_->forked(*parent, child);
        grafts_->forked(*parent, child);
    }
    if (parent == nullptr) {
        controllers_->born(child);
        // Of a unit that is being stopped (its stop command): it has to run whatever is frozen.
        const units::UnitState* unit = engine_->find(views_->unit_of(child));
        if (unit != nullptr && unit->state == units::State::stopping) {
            child.flags |= processes::process_unfreezable;
        }
    }
    freezing_->born(parent, child);
    if (processes::Process* running = parent == nullptr ? nullptr : census_->table().find(parent->pid)) {
        freezing_->seen_running(*running);
    }
}

void Supervisor::executed(processes::Process& process) {
    thread_places_->executed(process);
    services_->executed(process);
    freezing_->seen_running(process);
    classifier_->executed(process);
}

void Supervisor::exited(const processes::Process& process) {
    controllers_->exited(process);
    thread_places_->exited(process);
    classifier_->exited(process);
    grafts_->exited(process);
    services_->exited(process);
}

void Supervisor::emptied(GroupId group) {
    groups_changed_ = true;
    emptied_.push_back(group);
    if (const grouping::Group* known = forest_.group(group);
        known != nullptr && known->hierarchy == Placing::unit_hierarchy) {
        services_->emptied(group);
    }
}

void Supervisor::attributed(processes::Process& orphan, processes::Attribution how) {
    freezing_->moved(orphan);
    if (how == processes::Attribution::nobody) {
        chronicle_->note("unattributed", {{"pid", orphan.pid}});
    } else if (how != processes::Attribution::helper) {
        classifier_->attributed(orphan);
        grafts_->orphaned(orphan);
    }
}

void Supervisor::untracked(pid_t pid) {
    chronicle_->note("untracked", {{"pid", pid}, {"reason", "the process table is full"}});
}

void Supervisor::news_taken() {
    services_->settle();
    classifier_->work();
    tidy_groups();
}

// What emptied, or lost its last holder, may go, and with it somebody's wait may be over.
void Supervisor::tidy_groups() {
    review_groups();  // before groups that are empty go
    while (std::exchange(groups_changed_, false)) {
        (void)groups_->collect_empty(std::exchange(emptied_, {}));
        removals_->review();
    }
    review_groups();  // of those that went
}

}  // namespace gpcsup::supervisor
