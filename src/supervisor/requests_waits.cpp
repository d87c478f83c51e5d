// Requests about what becomes of a group: killed, frozen, empty. Most are answered later.

#include "supervisor/requests.h"

namespace gpcsup::supervisor {

using control::Caller;
using grouping::GroupId;

base::Result<GroupId> Requests::group_named(Text what) const {
    if (what.find(':') != Text::npos) {
        return own_.forest_.resolve(what);
    }
    const std::string unit[] = {std::string(what)};
    if (auto found = known(unit); !found) {
        return base::pass(found);
    }
    const auto group = own_.placing_->group_of(what);
    return group ? base::Result<GroupId>(*group)
                 : base::refuse(ESRCH, std::string(what) + " has no processes");
}

void Requests::wait_killed(const Caller& caller, Text what, control::Reply reply) {
    auto group = group_named(what);
    if (!group) {
        return reply(base::pass(group));
    }
    if (auto allowed = may_manage(caller, *group, grouping::Manage::signal); !allowed) {
        return reply(base::pass(allowed));
    }
    own_.kills_->wait(*group, caller.connection, std::move(reply));
}

// Where freezing is a setting, it is that, whichever way it is asked for: it is in the journal, in snapshots
// and in what `apply` compares.
void Requests::note_freezing(GroupId group, Text word) {
    if (own_.controllers_->is_bound("freezer", group)) {
        const controllers::SettingText setting{"freezer.state", std::string(word)};
        (void)own_.groups_->set(group, {&setting, 1}).has_value();  // it is so already: nothing can refuse it
    }
}

void Requests::freeze(const Caller& caller, Text what, control::Reply reply) {
    own_.census_->take_news();
    auto group = group_named(what);
    if (!group) {
        return reply(base::pass(group));
    }
    if (auto allowed = may_manage(caller, *group, grouping::Manage::freeze); !allowed) {
        return reply(base::pass(allowed));
    }
    if (what.find(':') == Text::npos && own_.forest_.group(*group)->populated == 0) {
        return reply(base::refuse(ESRCH, std::string(what) + " has no processes"));
    }
    own_.freezing_->freeze(*group, caller.connection, std::move(reply));
    if (const grouping::Group* asked = own_.forest_.group(*group); asked != nullptr && asked->frozen) {
        note_freezing(*group, "frozen");
    }
}

base::Result<std::string> Requests::thaw(const Caller& caller, Text what) {
    own_.census_->take_news();
    auto group = group_named(what);
    if (!group) {
        return base::pass(group);
    }
    if (auto allowed = may_manage(caller, *group, grouping::Manage::freeze); !allowed) {
        return base::pass(allowed);
    }
    auto answer = own_.freezing_->thaw(*group);
    note_freezing(*group, "thawed");
    return answer;
}

void Requests::wait_group(const Caller& caller, Text what, Text word, std::uint64_t timeout_us,
                          control::Reply reply) {
    auto condition = parse_condition(word);
    if (!condition) {
        return reply(base::pass(condition));
    }
    own_.census_->take_news();
    auto group = group_named(what);
    if (!group && group.error().code == ESRCH && *condition == GroupCondition::empty) {
        return reply(GroupWaits::empty_answer(what));  // a unit that has not been started
    }
    if (!group) {
        return reply(base::pass(group));
    }
    own_.group_waits_->wait(
        {*group, *condition, timeout_us == 0 ? 0 : monotonic_now_ns() + timeout_us * 1000, caller.connection},
        std::move(reply));
}

}  // namespace gpcsup::supervisor
