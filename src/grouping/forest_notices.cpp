// What somebody outside wants to know or to hold of a group: whether it became populated or empty, whether it
// can be released, whether it is frozen.

#include "grouping/forest.h"

namespace gpcsup::grouping {

std::vector<GroupId> Forest::take_flipped() {
    return flipped_.take();
}

std::vector<GroupId> Forest::take_release_candidates() {
    return release_candidates_.take();
}

const std::string& Forest::release_agent(HierarchyId id) const {
    return groups_.at(hierarchies_[id.value]->root).release_agent;
}

bool Forest::is_releasable(GroupId id) const {
    const Group* at = group(id);
    return at != nullptr && at->parent.value != 0 && !at->dying && at->notify_on_release &&
           at->populated == 0 && at->children.empty() && at->holders.empty() && !at->auto_remove;
}

void Forest::set_frozen(GroupId id, Freezing wanted) {
    Group* changed = group(id);
    if (changed == nullptr) {
        return;
    }
    changed->frozen = wanted == Freezing::frozen;
    std::vector<GroupId> waiting{id};
    while (!waiting.empty()) {
        Group& at = groups_.at(waiting.back());
        waiting.pop_back();
        const Group* above = group(at.parent);
        at.frozen_effective = at.frozen || (above != nullptr && above->frozen_effective);
        waiting.insert(waiting.end(), at.children.begin(), at.children.end());
    }
}

std::optional<GroupId> Forest::frozen_by(GroupId id) const {
    for (const Group* at = group(id); at != nullptr; at = group(at->parent)) {
        if (at->frozen) {
            return at->id;
        }
    }
    return std::nullopt;
}

}  // namespace gpcsup::grouping
