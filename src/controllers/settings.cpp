// ControllerSet: attributes. A transaction is planned (names and values parsed), checked by every controller
// it touches, then carried out setting by setting; the first that fails in the machine makes all of them go
// back to their old values.

#include <algorithm>
#include <cerrno>
#include <functional>
#include <iterator>

#include "controllers/core_attributes.h"
#include "controllers/dispatcher.h"

namespace gpcsup::controllers {

using grouping::GroupId;

namespace {

std::string_view controller_of(std::string_view full_name) {
    return full_name.substr(0, full_name.find('.'));
}
std::string_view attribute_of(std::string_view full_name) {
    return full_name.substr(full_name.find('.') + 1);
}

std::unexpected<base::Error> no_group() {
    return base::refuse(ENOENT, "there is no such group");
}

}  // namespace

// Whose attribute it is; null = every group's own. The controller must be bound to the hierarchy of the
// group.
base::Result<const ControllerSet::Bound*> ControllerSet::responsible(GroupId group,
                                                                     std::string_view full_name) const {
    const grouping::Group* at = forest_.group(group);
    if (at == nullptr) {
        return no_group();
    }
    if (auto known = find_attribute(full_name); !known) {
        return base::pass(known);
    }
    const std::string_view name = controller_of(full_name);
    if (name == core_name) {
        return nullptr;
    }
    const Bound* bound = find(name);
    if (bound->hierarchy == at->hierarchy) {
        return bound;
    }
    const std::string text = std::string(full_name) + ": controller " + std::string(name) + " is ";
    if (!bound->hierarchy) {
        return base::refuse(EINVAL, text + "unbound", "bind it with gpcsup hierarchy create or rebind");
    }
    return base::refuse(EINVAL, text + "not bound to hierarchy " + forest_.hierarchy(at->hierarchy)->name,
                        "it is bound to " + forest_.hierarchy(*bound->hierarchy)->name);
}

base::Result<ControllerSet::Planned> ControllerSet::plan_one(GroupId group, const SettingText& setting) {
    auto bound = responsible(group, setting.name);
    if (!bound) {
        return base::pass(bound);
    }
    const auto attribute = find_attribute(setting.name);
    auto value = parse_value(setting.name, **attribute, setting.value);
    if (!value) {
        return base::pass(value);
    }
    Bound* owner = *bound != nullptr ? find((*bound)->name) : nullptr;
    return Planned{owner, (*attribute)->name, setting.name, std::move(*value)};
}

base::Result<std::vector<ControllerSet::Planned>> ControllerSet::plan(GroupId group,
                                                                      std::span<const SettingText> settings) {
    std::vector<Planned> planned;
    for (const SettingText& setting : settings) {
        if (std::ranges::find(planned, setting.name, &Planned::full_name) != planned.end()) {
            return base::refuse(EINVAL, setting.name + " is given twice");
        }
        auto one = plan_one(group, setting);
        if (!one) {
            return base::pass(one);
        }
        planned.push_back(std::move(*one));
    }
    return planned;
}

base::Result<> ControllerSet::can_change(GroupId group, std::span<const Planned> planned) {
    std::map<Bound*, std::vector<Change>> by_controller;
    for (const Planned& each : planned) {
        by_controller[each.bound].push_back({each.attribute, each.value});
    }
    for (const auto& [bound, changes] : by_controller) {
        if (bound == nullptr) {
            continue;  // group.*: the type was the whole check
        }
        if (auto agreed = bound->controller->can_change(group, changes); !agreed) {
            return agreed;
        }
    }
    return {};
}

base::Result<> ControllerSet::change(GroupId group, const Planned& planned, const Value& value) {
    return planned.bound != nullptr ? planned.bound->controller->set(group, planned.attribute, value)
                                    : set_core(forest_, group, planned.attribute, value);
}

void ControllerSet::remember(GroupId group, const Planned& planned) {
    const std::string text = format_value(planned.value);
    const Attribute& attribute = **find_attribute(planned.full_name);
    if (attribute.kept == Kept::by_controller) {
        return;
    }
    const Level level = forest_.group(group)->parent.value == 0 ? Level::root : Level::below;
    if (text == default_of(attribute, forest_.compat_of(group), level)) {
        settings_[group].erase(planned.full_name);
    } else {
        settings_[group][planned.full_name] = text;
    }
}

base::Result<> ControllerSet::parse(GroupId group, std::span<const SettingText> settings) {
    auto planned = plan(group, settings);
    return planned ? base::Result<>() : base::pass(planned);
}

base::Result<> ControllerSet::check(GroupId group, std::span<const SettingText> settings) {
    auto planned = plan(group, settings);
    if (!planned) {
        return base::pass(planned);
    }
    return can_change(group, *planned);
}

base::Result<> ControllerSet::set(GroupId group, std::span<const SettingText> settings) {
    auto planned = plan(group, settings);
    if (!planned) {
        return base::pass(planned);
    }
    if (auto agreed = can_change(group, *planned); !agreed) {
        return agreed;
    }
    std::vector<Value> old_values;
    for (const Planned& each : *planned) {
        auto old_value = asked(group, each.full_name);
        if (!old_value) {
            return base::pass(old_value);
        }
        old_values.push_back(std::move(*old_value));
    }
    for (std::size_t index = 0; index < planned->size(); ++index) {
        auto done = change(group, (*planned)[index], (*planned)[index].value);
        if (done) {
            continue;
        }
        for (std::size_t back = index + 1; back-- > 0;) {  // the failed one, too: it may be half done
            if (auto undone = change(group, (*planned)[back], old_values[back]); !undone) {
                done.error().hint += (done.error().hint.empty() ? "" : "; ");
                done.error().hint +=
                    (*planned)[back].full_name + " could not be set back: " + undone.error().message();
            }
        }
        return done;
    }
    std::ranges::for_each(*planned, std::bind_front(&ControllerSet::remember, this, group));
    if (forest_.group(group)->auto_remove && host_.processes().books().has(group)) {
        queue_if_left(group);
    }
    return {};
}

base::Result<> ControllerSet::restore_setting(GroupId group, const SettingText& setting) {
    auto planned = plan_one(group, setting);
    if (!planned) {
        return base::pass(planned);
    }
    remember(group, *planned);
    return planned->bound != nullptr
               ? planned->bound->controller->restore(group, planned->attribute, planned->value)
               : set_core(forest_, group, planned->attribute, planned->value);
}

std::vector<SettingText> ControllerSet::standing(GroupId group, std::span<const SettingText> settings) const {
    std::vector<SettingText> texts;
    for (const SettingText& setting : settings) {
        if (auto value = asked(group, setting.name)) {
            texts.push_back({setting.name, format_value(*value)});
        }
    }
    return texts;
}

base::Result<> ControllerSet::take_back(GroupId group, std::span<const SettingText> tried,
                                        std::span<const SettingText> before) {
    base::Result<> first;
    for (const SettingText& setting : tried) {
        auto planned = plan_one(group, setting);
        base::Result<> taken;
        if (!planned) {
            taken = base::pass(planned);
        } else if (planned->bound != nullptr) {
            const auto stood = std::ranges::find(before, setting.name, &SettingText::name);
            taken = planned->bound->controller->take_back(
                group, planned->attribute,
                {planned->value,
                 stood != before.end() ? std::string_view(stood->value) : std::string_view()});
        }
        if (!taken && first) {
            first = std::move(taken);
        }
    }
    return first;
}

base::Result<Value> ControllerSet::get(GroupId group, std::string_view full_name) const {
    return read(group, full_name, &Controller::get);
}

base::Result<Value> ControllerSet::asked(GroupId group, std::string_view full_name) const {
    return read(group, full_name, &Controller::asked);
}

base::Result<Value> ControllerSet::read(GroupId group, std::string_view full_name, Reader reader) const {
    auto bound = responsible(group, full_name);
    if (!bound) {
        return base::pass(bound);
    }
    const std::string_view attribute = attribute_of(full_name);
    return *bound != nullptr ? ((*bound)->controller.get()->*reader)(group, attribute)
                             : get_core(forest_, group, attribute);
}

std::vector<NamedValue> ControllerSet::get_all(GroupId group) const {
    std::vector<NamedValue> values;
    const grouping::Group* at = forest_.group(group);
    if (at == nullptr) {
        return values;
    }
    const auto add = [&](std::string_view name, std::span<const Attribute> attributes) {
        for (const Attribute& attribute : attributes) {
            std::string full_name = std::string(name) + "." + std::string(attribute.name);
            if (auto value = get(group, full_name)) {
                values.push_back({std::move(full_name), std::move(*value)});
            }
        }
    };
    for (const Bound* bound : bound_to(at->hierarchy)) {
        add(bound->name, bound->controller->attributes());
    }
    add(core_name, core_attributes());
    return values;
}

std::vector<NamedValue> ControllerSet::get_unbound(std::string_view controller) const {
    std::vector<NamedValue> values;
    const Bound* bound = find(controller);
    if (bound == nullptr || !bound->account) {
        return values;
    }
    for (const Attribute& attribute : bound->controller->attributes()) {
        if (auto value = bound->controller->get(*bound->account, attribute.name)) {
            values.push_back({std::string(controller) + "." + std::string(attribute.name), *value});
        }
    }
    return values;
}

// A new group starts with a copy of those of the parent's settings that are marked so: the original's
// clone_children, and what it had from the parent anyway.
base::Result<> ControllerSet::clone_settings(GroupId group) {
    const grouping::Group& made = *forest_.group(group);
    std::vector<SettingText> copies;
    for (const Bound* bound : bound_to(made.hierarchy)) {
        for (const Attribute& attribute : bound->controller->attributes()) {
            if (attribute.cloned == Cloned::no ||
                (attribute.cloned == Cloned::with_clone_children && !made.clone_children)) {
                continue;
            }
            const std::string name = std::string(bound->name) + "." + std::string(attribute.name);
            auto value = asked(made.parent, name);
            if (value && format_value(*value) != attribute.default_text) {
                copies.push_back({name, format_value(*value)});
            }
        }
    }
    return copies.empty() ? base::Result<>() : set(group, copies);
}

std::vector<SettingText> ControllerSet::settings_of(GroupId group) const {
    std::vector<SettingText> result;
    if (const auto known = settings_.find(group); known != settings_.end()) {
        for (const auto& [name, value] : known->second) {
            result.push_back({name, value});
        }
    }
    return result;
}

// The forest itself knows group.*: much of it came without anybody setting it.
std::vector<SettingText> ControllerSet::all_settings_of(GroupId group) const {
    std::vector<SettingText> result;
    for (const Attribute& attribute : core_attributes()) {
        const auto value = get_core(forest_, group, attribute.name);
        if (attribute.access == Access::read_write && value &&
            format_value(*value) != attribute.default_text) {
            result.push_back(
                {std::string(core_name) + "." + std::string(attribute.name), format_value(*value)});
        }
    }
    std::ranges::copy_if(settings_of(group), std::back_inserter(result),
                         [](const SettingText& setting) { return controller_of(setting.name) != core_name; });
    std::ranges::sort(result, {}, &SettingText::name);
    return result;
}

}  // namespace gpcsup::controllers
