// Generated from web/openapi.json by `npm run api:generate`; not edited by hand.

export interface paths {
    "/api/access-requests": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Asks the owner of a port to be let in
         * @description Answered alike whether there is such a port or not.
         */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["AccessWish"];
                };
            };
            responses: {
                /** @description If there is such a port, its owner will see it */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/certificates": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the certificates, the site's own first */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Certificates"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/certificates/{id}/renew": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Orders a new certificate now
         * @description Answers when it is there, or could not be had: after seconds or minutes.
         */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description What the list calls it */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Certificate"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/certificates/{id}/revoke": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Has the authority declare a certificate void, and orders another with another key
         * @description The old one is served until the new one is there.
         */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description What the list calls it */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Certificate"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists people, oldest first */
        get: {
            parameters: {
                query?: {
                    /** @description The `next_cursor` of the part before; the first part when absent. */
                    cursor?: string;
                    /** @description Rows wanted, from 1 to 200. Default: 50. */
                    limit?: number;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Users"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        /** Makes an account */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["UserRequest"];
                };
            };
            responses: {
                201: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["SignedIn"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/deleted-workspaces": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the caller's deleted workspaces that can be restored, the last deleted first */
        get: {
            parameters: {
                query?: {
                    /** @description The `next_cursor` of the part before; the first part when absent. */
                    cursor?: string;
                    /** @description Rows wanted, from 1 to 200. Default: 50. */
                    limit?: number;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["DeletedWorkspaces"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/deleted-workspaces/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Removes the files of a deleted workspace at once; it cannot be restored then */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Given up */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/deleted-workspaces/{id}/restore": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Takes a deletion back, complete or not; the workspace is stopped then, with all its files */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Restored */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Workspace"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Streams the workspaces the caller may see, and their changes */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Server-sent events: `workspace` with a Workspace for each there is and for each change, `workspace_removed` with `{"id": …}`, `ready` with `{}` after the first round. */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "text/event-stream": string;
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Says that the API answers, and which part of the site does not */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Health"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Changes the caller's password
         * @description Ends all their other sessions, here and on every workspace host. API tokens stay unless
         *     `revoke_tokens` is set. Answers when every connected gateway has confirmed that it refuses the
         *     sessions, or after a second.
         */
        put: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["PasswordRequest"];
                };
            };
            responses: {
                /** @description Changed */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/people": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Finds people by name or e-mail address, to share a port with */
        get: {
            parameters: {
                query: {
                    /** @description Part of a name or of an e-mail address, at least two characters. */
                    search: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["People"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Says who is signed in */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Session"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        /** Signs in */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Credentials"];
                };
            };
            responses: {
                /** @description Signed in; sets the session cookie */
                201: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["SignedIn"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        /**
         * Signs out, here and on every workspace host
         * @description Answers when every connected gateway has confirmed that it refuses the session, or after a
         *     second.
         */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Signed out */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists where the caller is signed in */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Sessions"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        /**
         * Ends all of the caller's sessions but the one that asks
         * @description Answers when every connected gateway has confirmed that it refuses them, or after a second.
         */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Ended */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Ends one of the caller's sessions, here and on every workspace host
         * @description Answers when every connected gateway has confirmed that it refuses the session, or after a
         *     second.
         */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The session's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Ended */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/setup": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Makes the first administrator and signs them in */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Setup"];
                };
            };
            responses: {
                /** @description Made and signed in */
                201: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["SignedIn"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/share-links/redeem": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Tells where a link leads, and lets this browser go there
         * @description The answer sets a cookie that is good for two minutes. One-use links are used up on the way, not
         *     here.
         */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["LinkRedemption"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["LinkTarget"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/site": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Describes the site: what a page needs before anybody signs in */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Site"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/tokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the caller's tokens */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Tokens"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        /**
         * Makes a token
         * @description Its text is in this answer and nowhere else.
         */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["TokenRequest"];
                };
            };
            responses: {
                201: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["CreatedToken"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/tokens/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Revokes a token */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The token's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Revoked */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the workspaces the caller may see, newest first */
        get: {
            parameters: {
                query?: {
                    /** @description The `next_cursor` of the part before; the first part when absent. */
                    cursor?: string;
                    /** @description Rows wanted, from 1 to 200. Default: 50. */
                    limit?: number;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Workspaces"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        /** Asks for a workspace, which is then started */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description A repeated request with the same key gives the same workspace, for a day */
                    "Idempotency-Key"?: string | null;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["WorkspaceRequest"];
                };
            };
            responses: {
                /** @description Asked for */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Workspace"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Shows a workspace */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Workspace"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        /** Asks for a workspace to be deleted */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Asked for */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Workspace"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/activity": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Says why a workspace is awake, and when it goes to sleep or is stopped if nobody comes */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["WorkspaceActivity"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/archive": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Asks that a stopped workspace be archived: its files are put into a snapshot, and its volumes removed
         * @description Once the snapshot that is answered is ready, `is_archived` says that it is done; if it fails, or
         *     somebody starts the workspace meanwhile, nothing is changed. The files are put in place when the
         *     workspace starts.
         */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Asked for */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Snapshot"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/figures": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Shows what a workspace uses, and used in each minute of the last day */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Figures"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/figures/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Streams what a workspace uses, every two seconds while it runs */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Server-sent events: `figures` with a FiguresNow for what is known, and for each reading that follows. */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "text/event-stream": components["schemas"]["FiguresNow"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Streams a workspace's log */
        get: {
            parameters: {
                query?: {
                    /** @description Whether to go on with lines as they come. Default: false. */
                    follow?: boolean;
                };
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Newline-delimited JSON, one LogLine each */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/x-ndjson": components["schemas"]["LogLine"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Asks for a workspace to sleep: its programs are frozen, and go on where they were once it is woken */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Asked for */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Workspace"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/ports/{port}/links": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Makes a link to a port
         * @description Its address is in this answer and nowhere else. The port must be shared by link or publicly.
         */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                    /** @description The port, from 1024 on */
                    port: number;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["LinkRequest"];
                };
            };
            responses: {
                201: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["CreatedLink"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/ports/{port}/links/{link}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Revokes a link, and ends what was opened by it */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                    /** @description The port, from 1024 on */
                    port: number;
                    /** @description The link's id */
                    link: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Revoked */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/ports/{port}/requests/{user}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Lets somebody in who has asked */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                    /** @description The port, from 1024 on */
                    port: number;
                    /** @description The id of who has asked */
                    user: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description They are one of the port's members */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        /** Does not let somebody in who has asked */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                    /** @description The port, from 1024 on */
                    port: number;
                    /** @description The id of who has asked */
                    user: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description They are not asking any more */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/ports/{port}/share": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Shares a port, or shares it in another way */
        put: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                    /** @description The port, from 1024 on */
                    port: number;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["ShareRequest"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["PortShare"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        post?: never;
        /** Shares a port no more, and revokes its links */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                    /** @description The port, from 1024 on */
                    port: number;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Only the owner may visit it */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/sharing": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Shows how a workspace's ports are shared, and who asks to be let in */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Sharing"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/sleep": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Says how a workspace sleeps */
        put: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Sleep"];
                };
            };
            responses: {
                /** @description Kept */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Workspace"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/snapshots": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the snapshots of a workspace, newest first */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Snapshots"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        /** Asks for a snapshot of a workspace: a copy of all its files, kept outside of it */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["SnapshotRequest"];
                };
            };
            responses: {
                /** @description Asked for */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Snapshot"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/snapshots/{snapshot}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Deletes a snapshot for good */
        delete: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                    /** @description The snapshot's id */
                    snapshot: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Deleted */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/snapshots/{snapshot}/content": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Downloads the files of a snapshot: a tar archive, compressed with Zstandard */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                    /** @description The snapshot's id */
                    snapshot: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description The archive: `workspace/` and `home/` */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/zstd": unknown;
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/snapshots/{snapshot}/restore": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Asks that the files of a stopped workspace become those of a snapshot
         * @description Its present files are kept first, in the snapshot that is answered. Once that is ready the workspace
         *     starts by itself, with the files of the other; if it fails, nothing is changed.
         */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                    /** @description The snapshot's id */
                    snapshot: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Asked for */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Snapshot"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Asks for a workspace to run: one that is stopped is started, one that sleeps is woken */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Asked for */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Workspace"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Asks for a workspace to stop; its files stay */
        post: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Asked for */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Workspace"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/workspaces/{id}/work": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Says what is in the repositories of a workspace and nowhere else: uncommitted, unpushed, stashed */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    /** @description The workspace's id */
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["WorkspaceWork"];
                    };
                };
                /** @description Refused or failed */
                default: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description Somebody who asks to be let in to a port. */
        AccessRequest: {
            /**
             * Format: date-time
             * @description Since when.
             */
            asked_at: string;
            /**
             * Format: int32
             * @description The port.
             */
            port: number;
            /** @description Who. */
            user: components["schemas"]["Person"];
        };
        /** @description A wish to be let in. */
        AccessWish: {
            /**
             * @description The first label of the port's host name.
             * @example 3000-abcdefghij01
             */
            host: string;
        };
        /** @description Why a workspace is awake. */
        Awake: {
            /**
             * Format: date-time
             * @description When that was seen.
             */
            at: string;
            /** @description What kind of sign there was. */
            kind: components["schemas"]["AwakeKind"];
            /**
             * @description The same in words, as the end of a sentence. To its owner it may name programs of the
             *     workspace: to be shown as text.
             * @example `cargo build` (pid 812) uses 97 % of a CPU
             */
            text: string;
        };
        /**
         * @description The kinds of signs that a workspace is in use.
         * @enum {string}
         */
        AwakeKind: "started" | "visit" | "typing" | "busy" | "keep_awake";
        /** @description One certificate, served or wanted. */
        Certificate: {
            /** @description What it is called. */
            id: string;
            /** @description The names it is for. */
            names: string[];
            /**
             * Format: date-time
             * @description When the next is ordered or signed; absent where an operator brings it.
             */
            next_renewal?: string | null;
            problem?: components["schemas"]["CertificateProblem"] | null;
            served?: components["schemas"]["ServedCertificate"] | null;
            /** @description `local` (the site's own authority), `files` or `acme`. */
            source: string;
            /** @description How it is. */
            state: components["schemas"]["CertificateState"];
            /** @description What is being done right now, in words. */
            step?: string | null;
        };
        /** @description Why there is no new one. */
        CertificateProblem: {
            /**
             * Format: date-time
             * @description When.
             */
            at: string;
            /** @description Stable and in snake case. */
            code: string;
            /**
             * Format: int32
             * @description How often in a row.
             */
            failures: number;
            /** @description What happened. */
            message: string;
            /** @description What to do about it. */
            next_step: string;
            /**
             * Format: date-time
             * @description When it is tried again by itself.
             */
            retry_at?: string | null;
        };
        /**
         * @description How a certificate is.
         * @enum {string}
         */
        CertificateState: "good" | "failing" | "expired" | "missing";
        /** @description All certificates of the gateway. */
        Certificates: {
            /** @description Those of the site first, then those of single workspaces by name. */
            certificates: components["schemas"]["Certificate"][];
            /**
             * Format: int32
             * @description How many more may be ordered for single workspaces this week; absent where one wildcard
             *     serves all.
             */
            on_demand_left?: number | null;
        };
        /** @description A link that was just made. Its address is shown this once. */
        CreatedLink: components["schemas"]["ShareLink"] & {
            /**
             * @description The address to give away. Whoever has it may visit the port.
             * @example https://kalpana.localhost:8443/share#ksl_…
             */
            url: string;
        };
        /** @description A token that was just made. Its text is shown this once. */
        CreatedToken: components["schemas"]["Token"] & {
            /**
             * @description The token's text: what goes behind `Authorization: Bearer`.
             * @example kp_…
             */
            token: string;
        };
        /** @description Who signs in. */
        Credentials: {
            /**
             * Format: email
             * @description The address of the account.
             */
            email: string;
            /**
             * Format: password
             * @description Its password.
             */
            password: string;
        };
        /** @description A deleted workspace, which can be restored. */
        DeletedWorkspace: {
            /** @description The branch that was checked out; the remote's default when absent. */
            branch?: string | null;
            /**
             * Format: date-time
             * @description When it was asked for.
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When its deletion was complete.
             */
            deleted_at: string;
            /**
             * @description Its id.
             * @example kq3v8x1zt0ab
             */
            id: string;
            /**
             * Format: date-time
             * @description Until when it can be restored; then its files are removed.
             */
            kept_until: string;
            /** @description The name shown to people. */
            name: string;
            /** @description The repository that was cloned into it. */
            repository?: string | null;
            /** @description How much of the machine it may use. */
            size: components["schemas"]["Size"];
        };
        /** @description Part of a list of deleted workspaces. */
        DeletedWorkspaces: {
            /** @description Where the next part starts, when there is one. */
            next_cursor?: string | null;
            /** @description The workspaces, the last deleted first. */
            workspaces: components["schemas"]["DeletedWorkspace"][];
        };
        /**
         * @description What a workspace's programs may reach.
         * @enum {string}
         */
        Egress: "open" | "none";
        /** @description What went wrong with a workspace. */
        Failure: {
            /**
             * @description Stable and in snake_case.
             * @example clone_failed
             */
            code: string;
            /** @description What to do about it. */
            hint: string;
            /** @description What happened. May quote what a program in the container said: to be shown as text. */
            message: string;
        };
        /** @description What a workspace uses, and what it used in the last day. */
        Figures: {
            /** @description A sample for each of the last 1,440 minutes that it was running in, newest last. */
            history: components["schemas"]["FiguresSample"][];
            /** @description What it may use; of one that does not run, what it might when it last ran. */
            limits: components["schemas"]["FiguresLimits"];
            /** @description What it uses at this moment. */
            now: components["schemas"]["FiguresNow"];
            /**
             * Format: int32
             * @description Seconds from one sample of the history to the next.
             */
            resolution: number;
        };
        /** @description What a workspace may use. What is null has no limit. */
        FiguresLimits: {
            /**
             * Format: double
             * @description CPU seconds in each second.
             */
            cpu_cores?: number | null;
            /**
             * Format: int64
             * @description Bytes of memory.
             */
            memory_bytes?: number | null;
            /**
             * Format: int64
             * @description Processes and threads.
             */
            processes?: number | null;
        };
        /** @description What a workspace uses at this moment. */
        FiguresNow: {
            limits?: components["schemas"]["FiguresLimits"] | null;
            reason?: components["schemas"]["FiguresUnavailable"] | null;
            sample?: components["schemas"]["FiguresSample"] | null;
            /** @description Whether there are figures, and of what. */
            state: components["schemas"]["FiguresState"];
        };
        /** @description What a workspace used. What is null could not be told. */
        FiguresSample: {
            /**
             * Format: date-time
             * @description When it was read.
             */
            at: string;
            /**
             * Format: double
             * @description CPU seconds in each second since the reading before.
             */
            cpu_cores?: number | null;
            /**
             * Format: int64
             * @description Bytes of memory, without files that are merely cached.
             */
            memory_bytes: number;
            /**
             * Format: int64
             * @description Processes that the kernel ended since the workspace was started, because memory was used up.
             */
            oom_kills: number;
            /**
             * Format: int64
             * @description Processes and threads.
             */
            processes?: number | null;
            /**
             * Format: int64
             * @description Bytes in a second from disks.
             */
            read_per_second?: number | null;
            /**
             * Format: int64
             * @description Bytes in a second from the network.
             */
            received_per_second?: number | null;
            /**
             * Format: int64
             * @description Bytes in a second to the network.
             */
            sent_per_second?: number | null;
            /**
             * Format: int64
             * @description Bytes in a second to disks.
             */
            written_per_second?: number | null;
        };
        /**
         * @description Whether a workspace runs, is asleep, or does not run; or runs and cannot be read.
         * @enum {string}
         */
        FiguresState: "running" | "paused" | "stopped" | "unavailable";
        /**
         * @description Why there are no figures: the container engine does not answer, the container is on another host, the
         *     control groups may not be read, or say what is not understood.
         * @enum {string}
         */
        FiguresUnavailable: "engine_away" | "elsewhere" | "forbidden" | "unreadable";
        /** @description That the API answers, and whether what it needs does. */
        Health: {
            /**
             * @description Whether the database answers: `ok`, or `away` while signing in and changes wait. A few
             *     seconds old.
             * @example ok
             */
            database: string;
            /**
             * @description Whether changes of workspaces are carried out: `ok`, or `away` while they wait.
             * @example ok
             */
            orchestrator: string;
            /** @description Always `ok`: the API answers. */
            status: string;
        };
        /** @description A link that somebody has. */
        LinkRedemption: {
            /** @description What stands behind the `#` of the link. */
            secret: string;
        };
        /** @description A link that the owner of a port wants. */
        LinkRequest: {
            /**
             * Format: int64
             * @description Seconds until it ends: from a minute to 30 days.
             */
            expires_in_seconds: number;
            /** @description Whether it works once only. Default: no. */
            one_use?: boolean | null;
            /**
             * @description The beginning of the paths that it opens; all of them when absent.
             * @example /docs
             */
            path?: string | null;
        };
        /** @description Where a link leads. */
        LinkTarget: {
            /**
             * Format: uri
             * @description The address to go to next, within two minutes and in the same browser.
             */
            url: string;
        };
        /** @description One line of a workspace's log. */
        LogLine: {
            /**
             * Format: date-time
             * @description When it was written.
             */
            at: string;
            /**
             * @description Who wrote it: `kalpana`, `bridge`, `git` or `editor`.
             * @example git
             */
            source: string;
            /** @description The line. Whatever a program in the container wrote: to be shown as text. */
            text: string;
        };
        /** @description Something that people should know of how this site is run. */
        Notice: {
            /** @description Stable and in snake_case. */
            code: string;
            /** @description One sentence or two for people. */
            message: string;
        };
        /** @description Whose a workspace is. */
        Owner: {
            /**
             * Format: uuid
             * @description The person's id.
             */
            id: string;
            /** @description Their name. */
            name: string;
        };
        /** @description A password that somebody wants instead of theirs. */
        PasswordRequest: {
            /**
             * Format: password
             * @description The password so far.
             */
            current: string;
            /**
             * Format: password
             * @description The password from now on.
             */
            new: string;
            /** @description Whether the person's API tokens are to be revoked too. They stay otherwise. */
            revoke_tokens?: boolean;
        };
        /** @description People who were looked for. */
        People: {
            /** @description The first that were found, at most ten. */
            people: components["schemas"]["Person"][];
        };
        /** @description Somebody with an account. */
        Person: {
            /**
             * Format: email
             * @description The address they sign in with.
             */
            email: string;
            /**
             * Format: uuid
             * @description Their id.
             */
            id: string;
            /** @description The name shown to people. */
            name: string;
        };
        /** @description One phase of a start. */
        Phase: {
            /** @description What it is doing. May quote what a program in the container said: to be shown as text. */
            detail?: string | null;
            /**
             * Format: date-time
             * @description When it ended.
             */
            finished_at?: string | null;
            /** @description Which. */
            name: components["schemas"]["PhaseName"];
            /**
             * Format: date-time
             * @description When it began.
             */
            started_at?: string | null;
            /** @description How it stands. */
            status: components["schemas"]["PhaseStatus"];
        };
        /**
         * @description The phases of a start, in order.
         * @enum {string}
         */
        PhaseName: "network" | "volume" | "container" | "boot" | "clone" | "editor";
        /**
         * @description How a phase stands.
         * @enum {string}
         */
        PhaseStatus: "pending" | "running" | "done" | "failed";
        /** @description A place where a person is signed in: one browser, since one sign-in. */
        Place: {
            /** @description The network address that it was signed in from. */
            address?: string | null;
            /**
             * Format: date-time
             * @description When it was signed in.
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When it ends whatever happens.
             */
            expires_at: string;
            /**
             * Format: uuid
             * @description Its id.
             */
            id: string;
            /** @description Whether it is the session that asks. */
            is_current: boolean;
            /**
             * Format: date-time
             * @description When it was last used, to within some minutes.
             */
            last_used_at: string;
            /** @description The browser, as it names itself. */
            user_agent?: string | null;
        };
        /** @description How a port is shared. */
        PortShare: {
            /**
             * Format: date-time
             * @description When it ends by itself, if it does.
             */
            expires_at?: string | null;
            /**
             * @description Whether that holds. It does not once it has expired, or after a start that it was not to
             *     outlive; then only the owner may visit.
             */
            is_in_force: boolean;
            /** @description Whether it outlives the next start of the workspace. */
            keep_after_restart: boolean;
            /** @description Who may visit it. */
            level: components["schemas"]["SharingLevel"];
            /** @description Who may visit it now: the level, as far as it holds and the site allows. */
            level_in_force: components["schemas"]["SharingLevel"];
            /** @description Its links, the oldest first. */
            links: components["schemas"]["ShareLink"][];
            /** @description The people who are named. */
            members: components["schemas"]["Person"][];
            /**
             * Format: int32
             * @description The port.
             */
            port: number;
            /**
             * Format: uri
             * @description The address to give to those who may visit it.
             */
            url: string;
        };
        /** @description The body of every answer that is not a success. */
        Problem: {
            /** @description What went wrong. */
            error: components["schemas"]["ProblemDetail"];
        };
        /** @description What went wrong. */
        ProblemDetail: {
            /**
             * @description Stable and in snake_case: what programs decide by.
             * @example workspace_not_found
             */
            code: string;
            /** @description What to do about it, when there is something. */
            hint?: string | null;
            /** @description One sentence for people. */
            message: string;
            /** @description Names the request in the server's logs. */
            request_id: string;
        };
        /** @description How far a start has come. */
        Progress: {
            /** @description Every phase, in order. */
            phases: components["schemas"]["Phase"][];
        };
        /** @description What is in one repository, and nowhere else. Text comes from the workspace: to be shown as text. */
        RepositoryWork: {
            /** @description The branch that is checked out. */
            branch?: string | null;
            /** @description Some of them, for the owner. */
            examples: string[];
            /** @description Whether there is a remote to push to. */
            has_remote: boolean;
            /**
             * @description Where it is; to others than the owner its last part.
             * @example /workspace/demo
             */
            path: string;
            /** @description Why nothing of it could be told: there may be work in it. */
            problem?: string | null;
            /**
             * Format: int64
             * @description Changes that were stashed.
             */
            stashes: number;
            /**
             * Format: int64
             * @description Files that were changed, added or deleted since the last commit, or are in none.
             */
            uncommitted: number;
            /**
             * Format: int64
             * @description Commits that are on no remote.
             */
            unpushed: number;
        };
        /**
         * @description What a person may do.
         * @enum {string}
         */
        Role: "administrator" | "member";
        /**
         * @description What a token may be used for.
         * @enum {string}
         */
        Scope: "workspace:read" | "workspace:write" | "workspace:delete" | "users:write";
        /** @description What visitors are shown. */
        ServedCertificate: {
            /** @description SHA-256 of it, in hex. */
            fingerprint: string;
            /** @description Who signed it. */
            issuer: string;
            /**
             * Format: date-time
             * @description Until when it is good.
             */
            not_after: string;
            /**
             * Format: date-time
             * @description From when it is good.
             */
            not_before: string;
            /** @description Its serial number, in hex. */
            serial: string;
        };
        /** @description Who is signed in. */
        Session: {
            /**
             * Format: date-time
             * @description When the session or the token ends whatever happens.
             */
            expires_at: string;
            /** @description The person. */
            user: components["schemas"]["User"];
        };
        /** @description Where a person is signed in, the last used first. */
        Sessions: {
            /** @description The sessions. */
            sessions: components["schemas"]["Place"][];
        };
        /** @description The first administrator. */
        Setup: {
            /**
             * Format: email
             * @description The address to sign in with.
             */
            email: string;
            /** @description The name shown to people. */
            name: string;
            /**
             * Format: password
             * @description The password.
             */
            password: string;
            /** @description The secret of the setup link. */
            token: string;
        };
        /** @description A link to a port, without its secret. */
        ShareLink: {
            /**
             * Format: date-time
             * @description When it was made.
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When it ends.
             */
            expires_at: string;
            /**
             * Format: uuid
             * @description Its id.
             */
            id: string;
            /** @description Whether it works once only. */
            one_use: boolean;
            /**
             * @description The beginning of the paths that it opens.
             * @example /
             */
            path: string;
            /**
             * Format: date-time
             * @description When it was used first.
             */
            used_at?: string | null;
        };
        /** @description How a port is to be shared from now on. What is left out counts as nothing, not as before. */
        ShareRequest: {
            /**
             * Format: int64
             * @description Seconds until it ends by itself: from a minute to a year. It does not end when absent.
             */
            expires_in_seconds?: number | null;
            /** @description Whether it outlives the next start of the workspace. Default: no. */
            keep_after_restart?: boolean | null;
            /** @description Who may visit it. */
            level: components["schemas"]["SharingLevel"];
            /** @description Ids or e-mail addresses of the people who are named, 50 at most. */
            members?: string[] | null;
        };
        /** @description How a workspace's ports are shared. */
        Sharing: {
            /** @description The widest level that this site allows. */
            maximum: components["schemas"]["SharingLevel"];
            /** @description The ports that are shared, or were until the last start or their end, by number. */
            ports: components["schemas"]["PortShare"][];
            /** @description Who asks to be let in, the earliest first. */
            requests: components["schemas"]["AccessRequest"][];
        };
        /**
         * @description Who may visit a port. Each level lets in everybody that the level before does.
         * @enum {string}
         */
        SharingLevel: "owner" | "members" | "organization" | "link" | "public";
        /** @description Somebody who has just signed in, or was just made. */
        SignedIn: {
            /** @description The person. */
            user: components["schemas"]["User"];
        };
        /** @description What anybody may know of the site: what the pages need before somebody signs in. */
        Site: {
            /**
             * @description The site's origin, without a slash at the end.
             * @example https://kalpana.localhost:8443
             */
            base_url: string;
            /** @description What workspaces may reach unless asked otherwise. */
            egress_default: components["schemas"]["Egress"];
            /** @description What people should know of how this site is run. */
            notices: components["schemas"]["Notice"][];
            /** @description Whether the first administrator is still to be made, with the setup link. */
            setup_required: boolean;
            /** @description The sizes a workspace can have, smallest first. */
            sizes: components["schemas"]["SizeOption"][];
            /** @description The running version. */
            version: string;
            /**
             * @description The origin of a workspace's host, with `{label}` where its label goes.
             * @example https://{label}.kalpana.localhost:8443
             */
            workspace_url: string;
        };
        /**
         * @description How much of the machine a workspace may use.
         * @enum {string}
         */
        Size: "small" | "medium" | "large";
        /** @description A size that a workspace can have. */
        SizeOption: {
            /**
             * Format: double
             * @description CPUs.
             */
            cpus: number;
            /**
             * Format: int64
             * @description Memory, in bytes.
             */
            memory_bytes: number;
            /** @description Its name. */
            name: components["schemas"]["Size"];
        };
        /** @description How a workspace sleeps. */
        Sleep: {
            /**
             * Format: int32
             * @description Seconds that it may be stopped until it is archived: 60 to 2592000, or 0 for ever; `null` for as
             *     the site has it.
             */
            archive_after_seconds?: number | null;
            /**
             * Format: int32
             * @description Seconds that it may be idle until it is put to sleep: 60 to 2592000, or 0 for ever; `null` for
             *     as the site has it.
             */
            pause_after_seconds?: number | null;
            /** @description Whether a visit leaves it asleep, until somebody asks for it to be woken. */
            stays_asleep?: boolean;
            /**
             * Format: int32
             * @description Seconds that it may be asleep until it is stopped: 60 to 2592000, or 0 for ever; `null` for as
             *     the site has it.
             */
            stop_after_seconds?: number | null;
        };
        /** @description A copy of all files of a workspace, kept outside of it. */
        Snapshot: {
            /**
             * Format: int64
             * @description Bytes of its archive; so far, while it is made.
             */
            bytes: number;
            /**
             * Format: date-time
             * @description When it was asked for.
             */
            created_at: string;
            /** @description Why it could not be made, or why a workspace did not get its files. */
            failure?: string | null;
            /**
             * Format: int64
             * @description Files in it, once it is ready.
             */
            files: number;
            /**
             * Format: date-time
             * @description When it was ready, or failed.
             */
            finished_at?: string | null;
            /** @description Its id. */
            id: string;
            /** @description Why it was taken. */
            kind: components["schemas"]["SnapshotKind"];
            /** @description What its owner wrote about it. */
            note: string;
            /**
             * Format: int64
             * @description Files that could not be read, and are not in it.
             */
            skipped: number;
            /** @description How far it is. */
            state: components["schemas"]["SnapshotState"];
            /** @description The workspace it was taken of. */
            workspace_id: string;
        };
        /**
         * @description Why a snapshot was taken: its owner asked, its time had come, the files were about to be replaced
         *     by those of another, or the workspace was archived.
         * @enum {string}
         */
        SnapshotKind: "manual" | "scheduled" | "before_restore" | "archive";
        /** @description A snapshot that somebody wants. */
        SnapshotRequest: {
            /** @description What they write about it: one line of up to 200 characters. */
            note?: string;
        };
        /**
         * @description How far a snapshot is.
         * @enum {string}
         */
        SnapshotState: "making" | "ready" | "failed";
        /** @description A snapshot that a workspace is to begin with. */
        SnapshotWish: {
            /** @description Which of its snapshots. */
            snapshot_id: string;
            /** @description The workspace it was taken of. */
            workspace_id: string;
        };
        /** @description The snapshots of a workspace. */
        Snapshots: {
            /** @description How many that somebody asked for the workspace may have. */
            limit: number;
            /** @description Newest first. */
            snapshots: components["schemas"]["Snapshot"][];
        };
        /** @description An API token, without its secret. */
        Token: {
            /**
             * Format: date-time
             * @description When it was made.
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When it ends.
             */
            expires_at: string;
            /**
             * Format: uuid
             * @description Its id, which is also part of its text.
             */
            id: string;
            /**
             * Format: date-time
             * @description When it was last used, to the minute.
             */
            last_used_at?: string | null;
            /** @description What its maker called it. */
            name: string;
            /** @description What it may be used for. */
            scopes: components["schemas"]["Scope"][];
        };
        /** @description A token that somebody wants. */
        TokenRequest: {
            /**
             * Format: int32
             * @description Days until it ends; the site's default when absent.
             */
            expires_in_days?: number | null;
            /** @description What to call it. */
            name: string;
            /** @description What it may be used for. */
            scopes: components["schemas"]["Scope"][];
        };
        /** @description A person's tokens that can still be used, newest first. */
        Tokens: {
            /** @description The tokens, without their secrets. */
            tokens: components["schemas"]["Token"][];
        };
        /** @description A person with an account. */
        User: {
            /**
             * Format: date-time
             * @description When the account was made.
             */
            created_at?: string;
            /**
             * Format: email
             * @description The address they sign in with.
             */
            email: string;
            /**
             * Format: uuid
             * @description Their id.
             */
            id: string;
            /** @description The name shown to people. */
            name: string;
            /** @description What they may do. */
            role: components["schemas"]["Role"];
        };
        /** @description A person to be given an account. */
        UserRequest: {
            /**
             * Format: email
             * @description The address they will sign in with.
             */
            email: string;
            /** @description The name shown to people. */
            name: string;
            /**
             * Format: password
             * @description Their first password.
             */
            password: string;
            /** @description What they may do. */
            role: components["schemas"]["Role"];
        };
        /** @description Part of the list of people, oldest first. */
        Users: {
            /** @description Where the next part starts, when there is one. */
            next_cursor?: string | null;
            /** @description The people. */
            users: components["schemas"]["User"][];
        };
        /** @description A workspace. */
        Workspace: {
            /** @description The branch that was checked out; the remote's default when absent. */
            branch?: string | null;
            /**
             * Format: date-time
             * @description When it was asked for.
             */
            created_at: string;
            /** @description What its programs may reach. */
            egress: components["schemas"]["Egress"];
            failure?: components["schemas"]["Failure"] | null;
            /**
             * Format: int64
             * @description Which incarnation it is: raised by each start.
             */
            generation: number;
            /**
             * @description Its id, which is also the label of its editor's host.
             * @example kq3v8x1zt0ab
             */
            id: string;
            /** @description Whether it is stopped with its files in a snapshot alone: they are put in place when it starts. */
            is_archived: boolean;
            /** @description The name shown to people. */
            name: string;
            /** @description Whose it is. */
            owner: components["schemas"]["Owner"];
            progress?: components["schemas"]["Progress"] | null;
            /** @description The repository that was cloned into it. */
            repository?: string | null;
            /**
             * Format: date-time
             * @description Since when it is in its state.
             */
            since: string;
            /** @description How much of the machine it may use. */
            size: components["schemas"]["Size"];
            /** @description How it sleeps. */
            sleep: components["schemas"]["Sleep"];
            /** @description Where it is in its life. */
            state: components["schemas"]["WorkspaceState"];
            /**
             * Format: date-time
             * @description When it last changed.
             */
            updated_at: string;
            /**
             * @description The editor's address.
             * @example https://kq3v8x1zt0ab.kalpana.localhost:8443
             */
            url: string;
        };
        /** @description Why a workspace is awake, and what becomes of it if nobody comes. */
        WorkspaceActivity: {
            awake?: components["schemas"]["Awake"] | null;
            /**
             * Format: date-time
             * @description When it is put to sleep; absent when that does not happen by itself.
             */
            pauses_at?: string | null;
            /**
             * Format: date-time
             * @description When it is stopped, of one that is asleep; absent when that does not happen by itself.
             */
            stops_at?: string | null;
        };
        /** @description A workspace that somebody wants. */
        WorkspaceRequest: {
            /** @description The branch to check out; the remote's default when absent. */
            branch?: string | null;
            egress?: components["schemas"]["Egress"] | null;
            /**
             * @description The name shown to people: 1 to 64 letters, digits, spaces, `-`, `_` and `.`, with a letter
             *     or digit first and last.
             */
            name: string;
            /**
             * Format: uri
             * @description The repository to clone: an `https://` or `http://` URL without a password.
             */
            repository?: string | null;
            size?: components["schemas"]["Size"] | null;
            snapshot?: components["schemas"]["SnapshotWish"] | null;
        };
        /**
         * @description Where a workspace is in its life.
         * @enum {string}
         */
        WorkspaceState: "stopped" | "starting" | "running" | "paused" | "stopping" | "failed" | "deleting";
        /** @description What is in the repositories of a workspace, and nowhere else. */
        WorkspaceWork: {
            /** @description Whether there may be more than is told. */
            is_cut: boolean;
            /** @description Whether anybody could look: a workspace that does not run cannot be looked into. */
            is_known: boolean;
            /** @description Its repositories, those with work first. */
            repositories: components["schemas"]["RepositoryWork"][];
        };
        /** @description Part of the list of workspaces, newest first. */
        Workspaces: {
            /** @description Where the next part starts, when there is one. */
            next_cursor?: string | null;
            /** @description The workspaces. */
            workspaces: components["schemas"]["Workspace"][];
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
