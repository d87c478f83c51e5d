#include "supervisor/rule_book.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace gpcsup::supervisor {

namespace {

std::string without_links(const std::string& path) {
    std::error_code failed;
    const std::filesystem::path real = std::filesystem::canonical(path, failed);
    return failed ? path : real.string();
}

std::vector<std::uint32_t> our_groups() {
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(0, getgroups(0, nullptr))));
    const int count = getgroups(static_cast<int>(groups.size()), groups.data());
    groups.resize(static_cast<std::size_t>(std::max(0, count)));
    groups.push_back(getgid());
    return {groups.begin(), groups.end()};
}

}  // namespace

void RuleBook::take(std::vector<grouping::Rule> rules) {
    rules_ = std::move(rules);
    for (grouping::Rule& rule : rules_) {
        if (rule.executable.starts_with('/')) {
            rule.real_executable = without_links(rule.executable);
        }
    }
    marks_ = grouping::marks_of(rules_);
}

std::optional<std::size_t> RuleBook::rule_of(grouping::RuleMark mark) const {
    const auto found = std::ranges::find(marks_, mark);
    return found == marks_.end() ? std::nullopt
                                 : std::optional(static_cast<std::size_t>(found - marks_.begin()));
}

// As gpc-exec will set it: a user's groups are its primary one and those that list it, unless the unit names
// a group, which then is the primary one.
grouping::Subject RuleBook::before_start(const units::Declaration& unit, const std::string& executable) {
    accounts_.refresh();
    grouping::Subject subject;
    subject.unit = unit.name;
    subject.executable = without_links(executable);
    subject.name = executable.substr(executable.rfind('/') + 1);
    if (unit.user.empty()) {
        subject.uid = getuid();
        subject.gid = getgid();
        subject.groups = our_groups();
    } else {
        const grouping::Who user = grouping::parse_who(*unit.user);
        subject.user = user.name;
        subject.uid = user.number ? user.number : accounts_.user_number(user.name);
        const auto name = subject.uid ? accounts_.user_name(*subject.uid) : std::nullopt;
        subject.groups = accounts_.groups_of(name.value_or(*unit.user));
        if (!subject.groups.empty()) {
            subject.gid = subject.groups.front();
        }
    }
    if (!unit.group.empty()) {
        const grouping::Who group = grouping::parse_who(*unit.group);
        subject.group = group.name;
        subject.gid = group.number ? group.number : accounts_.group_number(group.name);
    }
    return subject;
}

base::Result<grouping::Subject> RuleBook::as_it_is(sys::ProcFiles& files, pid_t pid, std::string unit) {
    accounts_.refresh();
    auto status = files.status(pid);
    if (!status) {
        return base::pass(status);
    }
    auto identity = sys::parse_identity(*status);
    auto stat = files.stat(pid);
    if (!identity || !stat) {
        return identity ? base::pass(stat) : base::pass(identity);
    }
    grouping::Subject subject;
    subject.pid = pid;
    subject.unit = std::move(unit);
    subject.uid = identity->user;
    subject.gid = identity->group;
    subject.groups.assign(identity->groups.begin(), identity->groups.end());
    subject.name = stat->name;
    if (auto executable = files.executable(pid)) {
        subject.executable = std::move(*executable);
    } else if (executable.error().code != EACCES && executable.error().code != EPERM) {
        return base::pass(executable);
    }
    return subject;
}

}  // namespace gpcsup::supervisor
