// The objects /org/gpcsup1/unit/NAME, /org/gpcsup1/hierarchy/NAME and /org/gpcsup1/group/HIERARCHY_PATH.
// Their properties come from the supervisor's tables by name, so they are one method (GetAll, as the standard
// interface has it) and no fixed vtable.

#include <cstring>

#include "control/object_manager.h"

namespace gpcsup::control {

namespace {

struct Kind {
    const char* prefix;
    const char* interface;
    std::vector<std::string> (Handler::*names)();
    base::Result<Handler::Properties> (Handler::*properties)(std::string_view);
};

constexpr Kind kinds[] = {
    {"/org/gpcsup1/unit", "org.gpcsup1.Unit", &Handler::unit_names, &Handler::unit_properties},
    {"/org/gpcsup1/hierarchy", "org.gpcsup1.Hierarchy", &Handler::hierarchy_names,
     &Handler::hierarchy_properties},
    {"/org/gpcsup1/group", "org.gpcsup1.Group", &Handler::group_names, &Handler::group_properties},
};

// The object's own name, decoded from its path, when the path is of this kind.
bool decode(const char* path, const Kind& kind, std::string& name) {
    char* label = nullptr;
    if (sd_bus_path_decode(path, kind.prefix, &label) <= 0) {
        return false;
    }
    name = label;
    free(label);
    return !name.empty();
}

int append_properties(sd_bus_message* reply, const Handler::Properties& properties) {
    int code = sd_bus_message_open_container(reply, 'a', "{sv}");
    for (const auto& [key, value] : properties) {
        if (code >= 0) {
            code = sd_bus_message_append(reply, "{sv}", key.c_str(), "s", value.c_str());
        }
    }
    return code < 0 ? code : sd_bus_message_close_container(reply);
}

int reply_all(sd_bus_message* call, const Handler::Properties& properties) {
    sd_bus_message* reply = nullptr;
    int code = sd_bus_message_new_method_return(call, &reply);
    if (code >= 0) {
        code = append_properties(reply, properties);
    }
    if (code >= 0) {
        code = sd_bus_send(nullptr, reply, nullptr);
    }
    sd_bus_message_unref(reply);
    return code < 0 ? code : 1;
}

int reply_one(sd_bus_message* call, const Handler::Properties& properties, const std::string& wanted,
              sd_bus_error* error) {
    for (const auto& [key, value] : properties) {
        if (key == wanted) {
            return sd_bus_reply_method_return(call, "v", "s", value.c_str());
        }
    }
    return report(error, {ENOENT, "there is no property " + wanted + " here", {}, "GetAll lists them"});
}

std::string introspection(const Kind& kind, const Handler::Properties& properties) {
    std::string xml =
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n"
        "\"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n <interface name=\"";
    xml += kind.interface;
    xml += "\">\n";
    for (const auto& property : properties) {
        xml += "  <property name=\"" + property.first + "\" type=\"s\" access=\"read\"/>\n";
    }
    return xml + " </interface>\n</node>\n";
}

int object_call(sd_bus_message* call, void* data, sd_bus_error* error) {
    Session& session = *static_cast<Session*>(data);
    const char* path = sd_bus_message_get_path(call);
    for (const Kind& kind : kinds) {
        std::string name;
        if (path == nullptr || !decode(path, kind, name)) {
            continue;
        }
        auto properties = (session.handler.*kind.properties)(name);
        if (!properties) {
            return report(error, properties.error());
        }
        if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus.Introspectable", "Introspect") > 0) {
            return sd_bus_reply_method_return(call, "s", introspection(kind, *properties).c_str());
        }
        const char* interface = nullptr;
        const char* property = nullptr;
        if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus.Properties", "GetAll") > 0) {
            return reply_all(call, *properties);
        }
        if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus.Properties", "Get") > 0 &&
            sd_bus_message_read(call, "ss", &interface, &property) >= 0) {
            return reply_one(call, *properties, property, error);
        }
    }
    return 0;  // not ours: sd-bus goes on
}

int enumerate(sd_bus*, const char* prefix, void* data, char*** nodes, sd_bus_error*) {
    Session& session = *static_cast<Session*>(data);
    for (const Kind& kind : kinds) {
        if (std::strcmp(prefix, kind.prefix) != 0) {
            continue;
        }
        const auto names = (session.handler.*kind.names)();
        auto** list = static_cast<char**>(calloc(names.size() + 1, sizeof(char*)));
        if (list == nullptr) {
            return -ENOMEM;
        }
        for (std::size_t i = 0; i < names.size(); ++i) {
            if (int code = sd_bus_path_encode(prefix, names[i].c_str(), &list[i]); code < 0) {
                for (std::size_t made = 0; made < i; ++made) {
                    free(list[made]);
                }
                free(static_cast<void*>(list));
                return code;
            }
        }
        *nodes = list;
    }
    return 1;
}

}  // namespace

int add_objects(sd_bus* bus, Session& session) {
    for (const Kind& kind : kinds) {
        if (int code = sd_bus_add_fallback(bus, nullptr, kind.prefix, object_call, &session); code < 0) {
            return code;
        }
        if (int code = sd_bus_add_node_enumerator(bus, nullptr, kind.prefix, enumerate, &session); code < 0) {
            return code;
        }
    }
    return 0;
}

}  // namespace gpcsup::control
