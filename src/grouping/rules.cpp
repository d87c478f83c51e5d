#include "grouping/rules.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>

#include "base/checksum.h"
#include "grouping/glob.h"
#include "grouping/names.h"

namespace gpcsup::grouping {

namespace {

constexpr std::string_view known_templates = "uUgGpP%";
constexpr std::size_t longest_kernel_name = 15;  // of /proc/PID/comm

std::string_view last_part(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string number_or(const std::optional<std::uint32_t>& number, std::string_view otherwise) {
    return number ? std::to_string(*number) : std::string(otherwise);
}

bool user_matches(const Who& who, const Subject& subject, const base::Accounts& accounts) {
    if (who.number) {
        return subject.uid == who.number;
    }
    if (!subject.user.empty() && subject.user == who.name) {
        return true;  // the unit says so itself, whoever knows the number
    }
    return subject.uid && accounts.user_number(who.name) == subject.uid;
}

bool group_matches(const Who& who, const Subject& subject, const base::Accounts& accounts) {
    if (!who.number && !subject.group.empty() && subject.group == who.name) {
        return true;
    }
    const auto number = who.number ? who.number : accounts.group_number(who.name);
    return number &&
           (subject.gid == number || std::ranges::find(subject.groups, *number) != subject.groups.end());
}

bool executable_matches(const Rule& rule, const Subject& subject) {
    if (rule.executable.starts_with('/')) {
        return subject.executable == rule.executable ||
               (!rule.real_executable.empty() && subject.executable == rule.real_executable);
    }
    // What it was called by is as the kernel keeps it: cut off.
    return rule.executable == last_part(subject.executable) || rule.executable == subject.name ||
           (subject.name.size() == longest_kernel_name &&
            std::string_view(rule.executable).substr(0, longest_kernel_name) == subject.name);
}

std::string user_of(const Subject& subject, const base::Accounts& accounts) {
    if (const auto name = subject.uid ? accounts.user_name(*subject.uid) : std::nullopt) {
        return *name;
    }
    return subject.user.empty() ? number_or(subject.uid, "") : subject.user;
}

std::string group_of(const Subject& subject, const base::Accounts& accounts) {
    if (const auto name = subject.gid ? accounts.group_name(*subject.gid) : std::nullopt) {
        return *name;
    }
    return subject.group.empty() ? number_or(subject.gid, "") : subject.group;
}

std::string value_of(char template_letter, const Subject& subject, const base::Accounts& accounts) {
    switch (template_letter) {
        case 'u':
            return user_of(subject, accounts);
        case 'U':
            return number_or(subject.uid, subject.user);
        case 'g':
            return group_of(subject, accounts);
        case 'G':
            return number_or(subject.gid, subject.group);
        case 'p':
            return std::string(last_part(subject.executable.empty() ? subject.name : subject.executable));
        case 'P':
            return subject.pid ? std::to_string(*subject.pid) : "";
        default:
            return "%";
    }
}

std::string as_part(std::string value) {
    for (char& c : value) {
        if (c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            c = '_';
        }
    }
    return value;
}

// A part made by a template that is no name: "" and "." and "..".
std::string as_name(std::string part) {
    if (part.empty()) {
        return "_";
    }
    if (part == "." || part == "..") {
        std::ranges::fill(part, '_');
    }
    return part;
}

// Everything that makes a rule what it is, in one text.
std::string meaning_of(const Rule& rule) {
    std::string text = rule.action == RuleAction::ignore ? "ignore" : "place";
    const auto add = [&](std::string_view word) {
        text += '\0';
        text += word;
    };
    add(rule.user ? to_text(*rule.user) : "");
    add(rule.group ? to_text(*rule.group) : "");
    add(rule.executable);
    add(rule.unit);
    for (const auto& [hierarchy, path] : rule.place) {
        add(hierarchy);
        add(path);
    }
    return text;
}

}  // namespace

Who parse_who(std::string_view text) {
    Who who{std::string(text), std::nullopt};
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (!text.empty() && error == std::errc() && end == text.data() + text.size()) {
        who = {"", number};
    }
    return who;
}

std::string to_text(const Who& who) {
    return who.number ? std::to_string(*who.number) : who.name;
}

bool Rule::means(const Rule& other) const {
    return meaning_of(*this) == meaning_of(other);
}

base::Result<> check_place_template(std::string_view text) {
    std::string plain;  // with a letter for each template: the rest is a path like any other
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            plain += text[at];
            continue;
        }
        const std::string_view letter = text.substr(std::min(at + 1, text.size()), 1);
        if (letter.empty() || known_templates.find(letter) == std::string_view::npos) {
            return base::refuse(
                EINVAL,
                letter.empty() ? "the % at its end stands for nothing"
                               : "there is no template %" + std::string(letter),
                "there are %u user, %U uid, %g group, %G gid, %p program, %P pid, and %% for a "
                "percent sign");
        }
        plain += 'x';
        ++at;
    }
    auto parts = split_path(plain);
    return parts ? base::Result<>() : base::pass(parts);
}

bool matches(const Rule& rule, const Subject& subject, const base::Accounts& accounts) {
    if (rule.user && !user_matches(*rule.user, subject, accounts)) {
        return false;
    }
    if (rule.group && !group_matches(*rule.group, subject, accounts)) {
        return false;
    }
    if (!rule.executable.empty() && !executable_matches(rule, subject)) {
        return false;
    }
    return rule.unit.empty() || (!subject.unit.empty() && glob_matches(rule.unit, subject.unit));
}

std::string expand(std::string_view place, const Subject& subject, const base::Accounts& accounts) {
    std::string path;
    while (!place.empty()) {
        place.remove_prefix(1);  // the slash
        const std::size_t end = std::min(place.find('/'), place.size());
        std::string part;
        for (std::size_t at = 0; at < end; ++at) {
            if (place[at] == '%' && at + 1 < end) {
                part += as_part(value_of(place[++at], subject, accounts));
            } else {
                part += place[at];
            }
        }
        if (end > 0) {  // "/" and a final slash make no part
            path += "/" + as_name(std::move(part));
        }
        place.remove_prefix(end);
    }
    return path.empty() ? "/" : path;
}

RuleChoices choose(std::span<const Rule> rules, const Subject& subject, const base::Accounts& accounts,
                   const Forest& forest) {
    RuleChoices choices;
    for (std::size_t index = 0; index < rules.size(); ++index) {
        const Rule& rule = rules[index];
        if (!matches(rule, subject, accounts)) {
            continue;
        }
        if (rule.action == RuleAction::ignore) {
            break;
        }
        for (const auto& [name, place] : rule.place) {
            const Hierarchy* hierarchy = forest.find_hierarchy(name);
            if (hierarchy != nullptr && !choices[hierarchy->id.value]) {
                choices[hierarchy->id.value] = {index, expand(place, subject, accounts)};
            }
        }
    }
    return choices;
}

bool names_the_process(const Rule& rule, std::string_view hierarchy, const Forest& forest) {
    return std::ranges::any_of(rule.place, [&](const auto& place) {
        const Hierarchy* named = forest.find_hierarchy(place.first);
        if (named == nullptr || named->name != hierarchy) {
            return false;
        }
        for (std::size_t at = place.second.find('%'); at != std::string::npos;
             at = place.second.find('%', at + 2)) {
            if (place.second.compare(at, 2, "%P") == 0) {
                return true;
            }
        }
        return false;
    });
}

std::vector<RuleMark> marks_of(std::span<const Rule> rules) {
    std::vector<RuleMark> marks;
    std::set<RuleMark> taken = {placed_by_nobody, placed_explicitly};
    for (const Rule& rule : rules) {
        const std::string text = meaning_of(rule);
        const std::uint32_t sum = base::crc32c(std::as_bytes(std::span(text)), 0);
        auto mark = static_cast<RuleMark>(sum ^ (sum >> 16));
        while (!taken.insert(mark).second) {
            ++mark;
        }
        marks.push_back(mark);
    }
    return marks;
}

}  // namespace gpcsup::grouping
