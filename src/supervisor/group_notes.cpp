#include "supervisor/group_notes.h"

#include <fmt/format.h>

#include "supervisor/records.h"

namespace gpcsup::supervisor {
namespace {

constexpr std::string_view prefix = "note/";

std::string key_of(grouping::GroupId group, std::string_view controller) {
    return fmt::format("{}{:08}/{}", prefix, group.value, controller);
}

}  // namespace

GroupNotes::GroupNotes(Chronicle& chronicle) : chronicle_(chronicle) {
    chronicle_.add_rewriter([this](Chronicle&) {
        for (const auto& [name, text] : notes_) {
            write(name, text);
        }
    });
}

void GroupNotes::restore(const journal::States& states, const grouping::Forest& forest) {
    each_record(states, prefix, chronicle_, [&](const std::string& name, const Json& body) {
        const std::size_t slash = name.find('/');
        const grouping::GroupId group{static_cast<std::uint32_t>(std::stoul(name.substr(0, slash)))};
        const std::string controller = slash == std::string::npos ? std::string() : name.substr(slash + 1);
        if (forest.group(group) == nullptr) {
            chronicle_.erase("", key_of(group, controller));
        } else {
            notes_[{group, controller}] = body.at("text").get<std::string>();
        }
    });
}

void GroupNotes::set(grouping::GroupId group, std::string_view controller, std::string_view text) {
    const auto known = notes_.insert_or_assign(Name(group, controller), std::string(text)).first;
    write(known->first, known->second);
}

void GroupNotes::erase(grouping::GroupId group, std::string_view controller) {
    if (notes_.erase(Name(group, controller)) > 0) {
        chronicle_.erase("", key_of(group, controller));
    }
}

std::optional<std::string> GroupNotes::find(grouping::GroupId group, std::string_view controller) const {
    const auto known = notes_.find(Name(group, controller));
    return known != notes_.end() ? std::optional(known->second) : std::nullopt;
}

void GroupNotes::write(const Name& name, const std::string& text) {
    chronicle_.state("", key_of(name.first, name.second), {{"text", text}});
}

}  // namespace gpcsup::supervisor
